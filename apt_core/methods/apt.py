"""APT: many weights at once, with the closed-form optimal compensation (arXiv 2410.15567)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.methods.base import Dampening, Method, Pruned

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats


class APT(Method):
    """Block by block, left to right: choose what goes, then solve the Multiple Removal Problem of the block.

    All weights that a block loses are removed at once, and every other weight of the block and of all
    blocks to its right takes the optimal compensation `maths.compensate` derives (with a 2x2 example).
    SparseGPT removes them one by one and never revises what is left of a column; that is what APT gains.

    mask S scores each weight alone, w^2 / [H^-1]_jj with the left frozen. mask M scores sets jointly:
    for N:M every set of a group (above 100 sets one at a time, each exactly), for unstructured in rounds,
    each round seeing the compensation for what has already gone.
    """

    name: ClassVar[str] = "apt"
    title: ClassVar[str] = "APT"
    source: ClassVar[str] = "Zhao et al. 2024, arXiv 2410.15567"
    summary: ClassVar[str] = (
        "Removes many weights at once and moves all that remain in the block to the exact optimum that makes up for it."
    )

    mask: Literal["auto", "S", "M"] = Field(
        default="auto",
        title="Mask",
        description="S scores weights one by one, M scores sets jointly; auto takes S for unstructured, M for N:M",
    )
    block_size: int = Field(
        default=256,
        ge=16,
        le=4096,
        title="Block size",
        description="Columns whose removals are solved together",
    )
    dampening: Dampening = 0.01

    def prune(self, weight: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured) -> Pruned:
        from apt_core.maths import pattern as patterns
        from apt_core.maths import pieces
        from apt_core.maths.live_inputs import prune_live_inputs

        def solve(live: Tensor, of_live: LayerStats, wanted: Unstructured | SemiStructured):
            problem = pieces.Problem(live, of_live, wanted, self.dampening)
            found = pieces.apt(problem, self._joint(wanted), self.block_size)
            return found.weight, found.pruned

        patterns.check_fits(weight.shape[1], pattern)
        return Pruned(*prune_live_inputs(weight.float(), stats, pattern, solve), self.dampening)

    def _joint(self, pattern: Unstructured | SemiStructured) -> bool:
        if self.mask == "auto":
            return isinstance(pattern, SemiStructured)
        return self.mask == "M"
