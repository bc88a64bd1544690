"""Two runs of one model, layer by layer: how the errors of the other compare with those of the first. No torch."""

from __future__ import annotations

from typing import NamedTuple

from apt_core.events.projections import split
from apt_core.events.records import RunRecord


class LayerDifference(NamedTuple):
    """The relative error of one layer in both runs."""

    block: int
    layer: str
    first: float
    other: float

    @property
    def difference(self) -> float:
        return self.other - self.first

    @property
    def ratio(self) -> float | None:
        """other / first; None where one of them is exactly zero and the other is not."""
        if self.first == self.other:
            return 1.0
        return self.other / self.first if self.first > 0 and self.other > 0 else None


def same_layers(first: RunRecord, other: RunRecord) -> bool:
    """Whether both pruned layers of one model: the same architecture, depth and layers."""
    if not first.layers or not other.layers or first.model is None or other.model is None:
        return False
    return _shape(first) == _shape(other)


def layer_differences(first: RunRecord, other: RunRecord) -> tuple[LayerDifference, ...]:
    """Every layer that both pruned, in the order of the first; none for runs of different models."""
    if not same_layers(first, other):
        return ()
    errors = {
        (part.block, part.layer): part.relative_error for layer in other.layers for part in split(layer)
    }
    return tuple(
        LayerDifference(part.block, part.layer, part.relative_error, errors[part.block, part.layer])
        for layer in first.layers
        for part in split(layer)
        if (part.block, part.layer) in errors
    )


def _shape(record: RunRecord) -> tuple[object, ...]:
    model = record.model
    return (model.architecture, model.parameters, model.blocks, model.layers) if model else ()
