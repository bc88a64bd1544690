"""APT's optimal compensation, one block of columns after the other, for a given mask (arXiv 2410.15567)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apt_core import maths
from apt_core.methods.component import Reconstruction
from apt_core.methods.masks.column_blocks import ColumnBlocks
from apt_core.methods.problem import LayerProblem, MaskedWeight

if TYPE_CHECKING:
    from torch import Tensor


class BlockWise(ColumnBlocks, Reconstruction):
    """The Multiple Removal Problem of each block; columns to its left count as frozen."""

    name: ClassVar[str] = "block-wise"
    title: ClassVar[str] = "Block-wise"
    source: ClassVar[str] = "Zhao et al. 2024, arXiv 2410.15567"
    summary: ClassVar[str] = (
        "The weights that stay move to APT's optimum, one block of columns after the other."
    )
    place: ClassVar[int] = 20

    def solve(self, problem: LayerProblem, found: MaskedWeight) -> Tensor:
        weight, stats, pattern, dampening = problem[:4]

        def given(_: Tensor, start: int, stop: int) -> Tensor:
            return found.pruned[:, start:stop]

        return maths.block_wise.prune_block_wise(
            weight, stats.inverse_factor(dampening), pattern, self.block_size, given
        )[0]
