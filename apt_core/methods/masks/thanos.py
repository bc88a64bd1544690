"""Thanos' rule: Wanda's scores over all columns that remain, compensated block by block (arXiv 2504.05346)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apt_core import maths
from apt_core.base.cost import Cost, passes
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
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
        "Wanda's rule among all remaining columns; each block is compensated before the next is chosen."
    )
    place: ClassVar[int] = 70
    moves_weights: ClassVar[bool] = True

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """The blocks' compensation; unstructured each block selects among all columns that remain."""
        starts = range(0, shape.in_features, self.block_size)
        left = sum(shape.in_features - start for start in starts) / shape.in_features
        among = left * shape.weights if isinstance(pattern, Unstructured) else shape.weights
        choice = Cost(sorted=among, moved=passes(among, 4))
        return super().cost(shape, tokens, pattern) + choice

    def search(self, problem: LayerProblem) -> MaskedWeight:
        weight, stats, pattern, dampening = problem[:4]
        left = maths.pattern.removed_count(weight.numel(), pattern.sparsity)

        def choose(columns: Tensor, start: int, stop: int) -> Tensor:
            nonlocal left
            width = stop - start
            scores = maths.saliency.wanda(columns, stats.gram[start:, start:])
            if isinstance(pattern, SemiStructured):
                return maths.pattern.lowest_per_group(
                    scores[:, :width].contiguous(), pattern.keep, pattern.of
                )
            gone = maths.pattern.lowest(scores, left)[:, :width].contiguous()
            left -= int(gone.sum())
            return gone

        factor = stats.inverse_factor(dampening)
        solved, pruned = maths.block_wise.prune_block_wise(weight, factor, pattern, self.block_size, choose)
        return MaskedWeight(pruned, solved)
