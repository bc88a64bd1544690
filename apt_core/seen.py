"""Which layers of a block the calibration text reached, and with how many tokens."""

from __future__ import annotations

from collections.abc import Iterator

from apt_core.events import Warned
from apt_core.families import Layer

_FEW = 2  # tokens per input: with fewer, a Gram matrix says more about these tokens than about the layer


class Seen:
    """Every layer of a block must have been reached by the end; a router can leave an expert out."""

    def __init__(self, layers: list[Layer]):
        self._layers = layers
        self._tokens: dict[str, int] = {}

    def add(self, layer: Layer, tokens: int) -> None:
        self._tokens[layer.name] = tokens

    def warnings(self) -> Iterator[Warned]:
        for layer in self._layers:
            name, tokens = f"block {layer.block} {layer.name}", self._tokens.get(layer.name)
            if tokens is None:
                yield Warned(message=f"{name} saw no calibration tokens and was left dense.", layer=name)
            elif layer.routed and tokens < _FEW * layer.in_features:
                yield Warned(
                    message=f"{name} saw only {tokens} calibration tokens for its {layer.in_features} inputs; "
                    "use more calibration samples.",
                    layer=name,
                )
