"""Sparsities drawn by hand over the depth of the model, or begun where a run's were, with single layers held."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from apt_core import maths
from apt_core.base.errors import BadOption
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.methods.component import Allocation, DenseModel, LayerKey, exact_shares
from apt_core.methods.registry import with_options

_MOST_POINTS = 256
_NAMED = re.compile(r"(\d{1,5}):([A-Za-z0-9_.]+)\s*=\s*(\d*\.?\d+(?:[eE]-?\d+)?)")  # block, layer, sparsity


class ByHand(Allocation):
    """A line through points from the first block to the last, or the sparsities of `start`, moved up or down until the
    whole meets the budget; what is held stays where it is.
    """

    name: ClassVar[str] = "by-hand"
    title: ClassVar[str] = "By hand"
    source: ClassVar[str] = ""
    summary: ClassVar[str] = (
        "Sparsities follow points of your own over the depth, or another run's, moved together to the whole's sparsity."
    )
    place: ClassVar[int] = 90

    points: str = Field(
        default="0.4, 0.5, 0.6",
        max_length=4000,
        title="Points",
        description="Sparsities from the first block to the last, such as 0.3, 0.6, 0.5; between them lies a line",
        json_schema_extra={"drawn_as": "curve"},
    )

    start: str = Field(
        default="",
        max_length=100_000,
        title="Start",
        description="In place of the line: the sparsity of each layer, such as 0:mlp.up_proj=0.4, 1:mlp.up_proj=0.6; "
        "of a layer that is not named the line's. On the command line run:ID is what that run was given",
        json_schema_extra={"drawn_as": "start-of-layers"},
    )
    held: str = Field(
        default="",
        max_length=100_000,
        title="Held layers",
        description="Layers with a sparsity of their own, such as 3:mlp.down_proj=0.3; the others move, so that the "
        "whole still loses what was chosen",
    )

    @field_validator("start", "held", mode="before")
    @classmethod
    def _are_layers(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            value = ", ".join(f"{layer}={share}" for layer, share in value.items())
        if isinstance(value, str):
            _layers(value)
        return value

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
        return pattern.by_layer and bool(self.start or self.held or len(set(_parsed(self.points))) > 1)

    def shares(
        self, dense: DenseModel, pattern: Unstructured | SemiStructured
    ) -> dict[LayerKey, float] | None:
        """Raises BadOption where the model has no layer that is held or started with, or the others cannot meet the
        budget."""
        if not self.varies(pattern) or not dense.sizes or pattern.sparsity == 0:
            return None
        held = _layers(self.held)
        for block, name in held:
            if (block, name) not in dense.sizes:
                raise BadOption(f"The model has no layer {block}:{name}, so it cannot be held; leave it out.")
        for block, name in _layers(self.start):
            if (block, name) not in dense.sizes:
                raise BadOption(
                    f"The model has no layer {block}:{name} to start with; start as a run of the same model and "
                    "layers was given, or leave it out."
                )
        counts = {key: round(share * dense.sizes[key]) for key, share in held.items()}
        free = {key: size for key, size in dense.sizes.items() if key not in held}
        left = round(pattern.sparsity * sum(dense.sizes.values())) - sum(counts.values())
        _check_reach(left, free, pattern.sparsity)
        if free:
            wishes = self._wishes(free, max(block for block, _ in dense.sizes))
            moved = maths.shares.shifted(wishes, list(free.values()), left / sum(free.values()))
            counts |= dict(zip(free, moved, strict=True))
        return exact_shares(dense.sizes, [counts[key] for key in dense.sizes])

    def holding(self, changes: Mapping[str, float | None]) -> ByHand:
        """The same with these layers ("3:mlp.down_proj") held at sparsities of their own; None lets one go. Raises
        BadOption."""
        held: dict[str, float | None] = {
            f"{block}:{name}": share for (block, name), share in _layers(self.held).items()
        }
        kept = {layer: f"{share:.6g}" for layer, share in (held | dict(changes)).items() if share is not None}
        return with_options(ByHand, dict(self) | {"held": kept}, "allocation by-hand")

    @property
    def held_layers(self) -> frozenset[LayerKey]:
        return frozenset(_layers(self.held))

    def _wishes(self, layers: Mapping[LayerKey, int], last: int) -> list[float]:
        """Where these layers begin, before they are moved together. last: the model's last block."""
        points, start = _parsed(self.points), _layers(self.start)
        return [start.get(key, _on_the_line(points, key[0] / last if last else 0.0)) for key in layers]


def _check_reach(left: int, free: Mapping[LayerKey, int], sparsity: float) -> None:
    """Raise BadOption where layers that are not held cannot lose what is left to lose."""
    most = max(maths.shares.MOST, sparsity) * sum(free.values())
    if not 0 <= left <= most:
        raise BadOption(
            f"With these layers held the others cannot bring the whole to {sparsity:.4g}; hold fewer, or at other "
            "sparsities."
        )


def _layers(text: str) -> dict[LayerKey, float]:
    """'3:mlp.down_proj=0.3, ...' -> {(3, "mlp.down_proj"): 0.3}."""
    found: dict[LayerKey, float] = {}
    for part in filter(None, (one.strip() for one in text.replace(";", ",").replace("\n", ",").split(","))):
        named = _NAMED.fullmatch(part)
        share = float(named[3]) if named else -1.0
        if named is None or not 0 <= share <= 1:
            raise ValueError(
                f"give layers with sparsities between 0 and 1, such as 3:mlp.down_proj=0.3, not {part[:40]!r}"
            )
        found[int(named[1]), named[2]] = share
    return found


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
