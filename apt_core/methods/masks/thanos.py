"""Thanos' rule: Wanda's scores over all columns that remain, compensated block by block (arXiv 2504.05346)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apt_core.base.patterns import SemiStructured
from apt_core.methods.component import Mask
from apt_core.methods.masks.column_blocks import ColumnBlocks
from apt_core.methods.problem import LayerProblem, MaskedWeight

if TYPE_CHECKING:
    from torch import Tensor


class ThanosMask(ColumnBlocks, Mask):
    """Unstructured, each block takes what of the lowest remaining scores lies in it; N:M goes by groups.

    The authors' code leaves a tenth of the rows dense for N:M; here every row keeps the pattern.
    """

    name: ClassVar[str] = "thanos"
    title: ClassVar[str] = "Thanos"
    source: ClassVar[str] = "arXiv 2504.05346, without dense outlier rows"
    summary: ClassVar[str] = (
        "Wanda's rule among all columns still to come, each block made up for before the next is chosen."
    )
    place: ClassVar[int] = 70

    def search(self, problem: LayerProblem) -> MaskedWeight:
        from apt_core.maths import pattern as patterns
        from apt_core.maths.block_wise import prune_block_wise
        from apt_core.maths.saliency import wanda

        weight, stats, pattern, dampening, _ = problem
        left = patterns.removed_count(weight.numel(), pattern.sparsity)

        def choose(columns: Tensor, start: int, stop: int) -> Tensor:
            nonlocal left
            width = stop - start
            scores = wanda(columns, stats.gram[start:, start:])
            if isinstance(pattern, SemiStructured):
                return patterns.lowest_per_group(scores[:, :width].contiguous(), pattern.keep, pattern.of)
            gone = patterns.lowest(scores, left)[:, :width].contiguous()
            left -= int(gone.sum())
            return gone

        factor = stats.inverse_factor(dampening)
        solved, pruned = prune_block_wise(weight, factor, pattern, self.block_size, choose)
        return MaskedWeight(pruned, solved)
