"""Which depths and widths are within a search's budget. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from apt_core.base.errors import BadOption
from apt_core.methods.structured.llm_pruner import Groups, groups_kept


class Shape(NamedTuple):
    """blocks: how many stay. heads: groups of heads in each, 0 where none go by themselves. channels: of each MLP."""

    blocks: int
    heads: int
    channels: int

    def groups(self, unit: str) -> int:
        """How many groups of a unit stay in each block."""
        return self.heads if unit == "heads" else self.channels


class Budget(NamedTuple):
    """keep: the share of all weights in the blocks' linear layers that stays, within `tolerance`. weights: of one
    block. structures: unit -> (groups, weights that go with one)."""

    keep: float
    tolerance: float
    blocks: int
    weights: int
    structures: Mapping[str, tuple[int, int]]
    multiple: int

    def weights_of(self, shape: Shape) -> int:
        """In the linear layers of the blocks that stay."""
        gone = sum((groups - shape.groups(unit)) * each for unit, (groups, each) in self.structures.items())
        return shape.blocks * (self.weights - gone)

    def share_of(self, shape: Shape) -> float:
        return self.weights_of(shape) / (self.blocks * self.weights)

    def shapes(self) -> tuple[Shape, ...]:
        """All within the budget, the deepest first: for each depth and number of heads the width that comes nearest.

        Raises BadOption where there is none.
        """
        nearest = [
            self._nearest(blocks, heads) for blocks in range(self.blocks, 0, -1) for heads in self._heads()
        ]
        found = tuple(shape for shape in nearest if self.fits(shape))
        if not found:
            raise BadOption(self._none_fits(nearest))
        return found

    def fits(self, shape: Shape) -> bool:
        return abs(self.share_of(shape) - self.keep) <= self.tolerance

    def start(self) -> Shape:
        """All blocks, and as many heads as LLM-Pruner keeps at this budget; what comes nearest to that within it."""
        structures = {unit: Groups(*found) for unit, found in self.structures.items()}
        kept = groups_kept(1 - self.keep, self.weights, structures, self.multiple)
        heads = kept.get("heads", 0)
        return min(self.shapes(), key=lambda one: (self.blocks - one.blocks, abs(one.heads - heads)))

    def _heads(self) -> Iterator[int]:
        if "heads" not in self.structures:
            return iter((0,))
        return iter(range(self.structures["heads"][0], 0, -1))

    def _nearest(self, blocks: int, heads: int) -> Shape:
        groups, each = self.structures["channels"]
        full = Shape(blocks, heads, groups)
        wanted = self.keep * self.blocks * self.weights
        left = groups - (self.weights_of(full) - wanted) / (each * blocks)
        step = self.multiple if groups > self.multiple else 1
        below = max(step, step * math.floor(left / step))
        channels = min(min(below + step, groups), min(below, groups), key=lambda count: abs(count - left))
        return full._replace(channels=channels)

    def _none_fits(self, nearest: list[Shape]) -> str:
        best = min(nearest, key=lambda shape: abs(self.share_of(shape) - self.keep))
        return (
            f"No model with equally wide blocks keeps {self.keep:.1%} of the blocks' weights within "
            f"{100 * self.tolerance:.3g}%; the nearest keeps {self.share_of(best):.1%}. Choose that, or more tolerance."
        )
