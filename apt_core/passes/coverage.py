"""Which layers of a block the calibration text reached, and with how many tokens."""

from __future__ import annotations

from collections.abc import Iterator

from apt_core.events import Warned
from apt_core.families import Layer

_FEW = 2  # tokens per input: with fewer, a Gram matrix says more about these tokens than about the layer
_ONE_BY_ONE = 4  # so many experts of a block are warned of each by itself; a large model has hundreds


def saw_few(layer: Layer, tokens: int) -> bool:
    """Whether a layer's statistics are mostly noise; only a router can do that to one layer and not to all."""
    return layer.routed and tokens < _FEW * layer.in_features


class Seen:
    """Every layer of a block must have been reached by the end; a router can leave an expert out."""

    def __init__(self, layers: list[Layer]):
        self._layers = layers
        self._tokens: dict[str, int] = {}

    def add(self, layer: Layer, tokens: int) -> None:
        self._tokens[layer.name] = tokens

    def warnings(self) -> Iterator[Warned]:
        for layer in self._layers:
            if layer.name not in self._tokens:
                name = _place(layer)
                yield Warned(message=f"{name} saw no calibration tokens and was left dense.", layer=name)
        few = [
            layer
            for layer in self._layers
            if layer.name in self._tokens and saw_few(layer, self._tokens[layer.name])
        ]
        yield from self._each(few) if len(few) <= _ONE_BY_ONE else self._together(few)

    def _each(self, few: list[Layer]) -> Iterator[Warned]:
        for layer in few:
            yield Warned(
                message=f"{_place(layer)} saw only {self._tokens[layer.name]} calibration tokens for its "
                f"{layer.in_features} inputs; use more calibration samples.",
                layer=_place(layer),
            )

    def _together(self, few: list[Layer]) -> Iterator[Warned]:
        fewest = min(few, key=lambda layer: self._tokens[layer.name] / layer.in_features)
        routed = sum(layer.routed for layer in self._layers)
        yield Warned(
            message=f"{len(few)} of the {routed} expert matrices of block {fewest.block} saw only few calibration "
            f"tokens, {fewest.name} the fewest: {self._tokens[fewest.name]} for its {fewest.in_features} inputs; "
            "use more calibration samples.",
            layer=_place(fewest),
        )


def _place(layer: Layer) -> str:
    return f"block {layer.block} {layer.name}"
