"""Sparsities drawn by hand over the depth of the model."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from apt_core import maths
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.methods.component import Allocation, DenseModel, LayerKey, exact_shares

_MOST_POINTS = 256


class ByHand(Allocation):
    """A line through points from the first block to the last, moved up or down until the whole meets the budget."""

    name: ClassVar[str] = "by-hand"
    title: ClassVar[str] = "By hand"
    source: ClassVar[str] = ""
    summary: ClassVar[str] = (
        "Sparsities follow points of your own over the depth, moved together to the whole's sparsity."
    )
    place: ClassVar[int] = 90

    points: str = Field(
        default="0.4, 0.5, 0.6",
        max_length=4000,
        title="Points",
        description="Sparsities from the first block to the last, such as 0.3, 0.6, 0.5; between them lies a line",
        json_schema_extra={"drawn_as": "curve"},
    )

    @field_validator("points", mode="before")
    @classmethod
    def _are_sparsities(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        if isinstance(value, int | float):
            value = str(value)
        if isinstance(value, str):
            _parsed(value)
        return value

    def varies(self, pattern: Unstructured | SemiStructured) -> bool:
        return pattern.by_layer and len(set(_parsed(self.points))) > 1

    def shares(
        self, dense: DenseModel, pattern: Unstructured | SemiStructured
    ) -> dict[LayerKey, float] | None:
        if not self.varies(pattern) or not dense.sizes or pattern.sparsity == 0:
            return None
        points, last = _parsed(self.points), max(block for block, _ in dense.sizes)
        wishes = [_on_the_line(points, block / last if last else 0.0) for block, _ in dense.sizes]
        sizes = list(dense.sizes.values())
        return exact_shares(dense.sizes, maths.shares.shifted(wishes, sizes, pattern.sparsity))


def _parsed(text: str) -> list[float]:
    try:
        points = [float(part) for part in text.replace(";", ",").split(",") if part.strip()]
    except ValueError:
        points = []
    if not 1 <= len(points) <= _MOST_POINTS or not all(0 <= point <= 1 for point in points):
        raise ValueError("give sparsities between 0 and 1 with commas, such as 0.3, 0.6, 0.5")
    return points


def _on_the_line(points: list[float], depth: float) -> float:
    """depth: 0 at the first block, 1 at the last."""
    place = depth * (len(points) - 1)
    before = min(int(place), len(points) - 1)
    after = min(before + 1, len(points) - 1)
    return points[before] + (place - before) * (points[after] - points[before])
