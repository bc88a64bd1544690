"""Which layers the calibration text reached, and whether with tokens enough for their width."""

from __future__ import annotations

from collections.abc import Iterator

from apt_core.events import Warned
from apt_core.families import Layer

_FEW = 2  # tokens per input: with fewer, a Gram matrix says more about these tokens than about the layer
_ONE_BY_ONE = 4  # up to so many experts of a block have a warning each; a large model has hundreds


def under_covered(layer: Layer, tokens: int) -> bool:
    """Are a layer's statistics mostly noise?"""
    return tokens < _FEW * layer.in_features


class CalibrationCoverage:
    """How many tokens reached each layer of a run.

    Layers that see every token are short of them all together and in every block alike: one warning for all, where
    they are met first. A router can leave out one expert and not the next: a warning per block.
    """

    def __init__(self, layers: list[Layer]):
        self._layers = layers
        self._tokens: dict[tuple[int, str], int] = {}
        self._said: set[str] = set()  # names of layers that see every token, whatever their block

    def add(self, layer: Layer, tokens: int) -> None:
        self._tokens[layer.block, layer.name] = tokens

    def warnings(self, index: int) -> Iterator[Warned]:
        """Of a block whose layers have all been added."""
        here = [layer for layer in self._layers if layer.block == index]
        reached = [layer for layer in here if (layer.block, layer.name) in self._tokens]
        for layer in here:
            if layer not in reached:
                name = _place(layer)
                yield Warned(message=f"{name} saw no calibration tokens and was left dense.", layer=name)
        few = [layer for layer in reached if under_covered(layer, self._of(layer))]
        yield from self._every_token([layer for layer in few if not layer.routed])
        experts = [layer for layer in few if layer.routed]
        if len(experts) <= _ONE_BY_ONE:
            yield from self._each(experts)
        else:
            yield self._together(experts, sum(layer.routed for layer in here))

    def _of(self, layer: Layer) -> int:
        return self._tokens[layer.block, layer.name]

    def _every_token(self, few: list[Layer]) -> Iterator[Warned]:
        new = [layer for layer in few if layer.name not in self._said]
        if not new:
            return
        self._said |= {layer.name for layer in new}
        widest = max(new, key=lambda layer: layer.in_features)
        which = (
            widest.name if len(new) == 1 else f"{len(new)} layers of every block, {widest.name} the widest"
        )
        yield Warned(
            message=f"{self._of(widest):,} calibration tokens are few for {which} ({widest.in_features:,} inputs): "
            "fewer than two per input leave more noise than knowledge; use more calibration samples.",
            layer=_place(widest),
        )

    def _each(self, few: list[Layer]) -> Iterator[Warned]:
        for layer in few:
            yield Warned(
                message=f"{_place(layer)} saw only {self._of(layer)} calibration tokens for its "
                f"{layer.in_features} inputs; use more calibration samples.",
                layer=_place(layer),
            )

    def _together(self, few: list[Layer], routed: int) -> Warned:
        fewest = min(few, key=lambda layer: self._of(layer) / layer.in_features)
        return Warned(
            message=f"{len(few)} of the {routed} expert matrices of block {fewest.block} saw only few calibration "
            f"tokens, {fewest.name} the fewest: {self._of(fewest)} for its {fewest.in_features} inputs; "
            "use more calibration samples.",
            layer=_place(fewest),
        )


def _place(layer: Layer) -> str:
    return f"block {layer.block} {layer.name}"
