"""APT's rule: many weights at once, with the closed-form optimal compensation (arXiv 2410.15567)."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import Cost, passes, selected
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Mask
from apt_core.methods.masks.column_blocks import ColumnBlocks
from apt_core.methods.problem import LayerProblem, MaskedWeight

if TYPE_CHECKING:
    from torch import Tensor


_ROUNDS, _MOST_SETS = 4, 100  # as in `maths.block_masks` and `maths.removal_sets`
_CALLS_PER_GROUP = 25
_PASSES_PER_SET = 9  # over numbers of which few lie together


class APTMask(ColumnBlocks, Mask):
    """Block by block, left to right: choose what goes, then solve the Multiple Removal Problem of the block.

    All weights that a block loses are removed at once, and every other weight of the block and of all
    blocks to its right takes the optimal compensation `maths.compensate` derives (with a 2x2 example).
    SparseGPT removes them one by one and never revises what is left of a column; that is what APT gains.

    Solution S scores each weight alone, w^2 / C_jj with C the inverse that the block may still use. Solution M scores
    sets jointly: for N:M every set of a group (above 100 sets one at a time, each exactly), unstructured in rounds,
    each on the weights that make up for what has gone before (`maths.block_masks`).
    """

    name: ClassVar[str] = "apt"
    title: ClassVar[str] = "APT"
    source: ClassVar[str] = "Zhao et al. 2024, arXiv 2410.15567"
    summary: ClassVar[str] = (
        "In each block of columns, removes together the weights whose loss all other weights compensate best."
    )
    place: ClassVar[int] = 60
    moves_weights: ClassVar[bool] = True
    closed_form: ClassVar[bool] = True

    solution: Literal["auto", "S", "M"] = Field(
        default="auto",
        title="Solution",
        description="S scores weights one by one, M scores sets jointly; auto takes S for unstructured, M for N:M",
    )

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """The blocks' compensation, and before it the choice: S selects from every block once, M four times with a
        compensation in between; M for N:M computes the losses of every set of a group from the products of its
        weights, and the update that each set asks for."""
        rest = super().cost(shape, tokens, pattern)
        joint, weights = self._joint(pattern), shape.weights
        if isinstance(pattern, Unstructured):
            rounds = _ROUNDS if joint else 1
            return rest.times(rounds) + Cost(
                sorted=rounds * selected(weights, pattern), moved=passes(weights, 4 * rounds)
            )
        groups, block = weights / pattern.of, min(self.block_size, shape.in_features)
        sets = min(comb(pattern.of, pattern.keep), _MOST_SETS) if joint else 1
        touched = groups * (pattern.of**2 + sets * (pattern.of + 1) + 6 * pattern.of)
        return rest + Cost(
            products=groups * 4.0 * sets * pattern.of**2 + 1.0 * weights * block,
            sorted=0 if joint else weights,
            moved=passes(touched, _PASSES_PER_SET),
            calls=_CALLS_PER_GROUP * shape.in_features / pattern.of,
        )

    def search(self, problem: LayerProblem) -> MaskedWeight:
        weight, stats, pattern, dampening = problem[:4]
        factor, joint = stats.inverse_factor(dampening), self._joint(pattern)

        def choose(columns: Tensor, start: int, stop: int) -> Tensor:
            return maths.block_masks.choose_block(
                columns[:, : stop - start],
                factor[start:stop, start:stop],
                pattern,
                budget=maths.pattern.block_budget(len(weight), start, stop, pattern.sparsity),
                joint=joint,
            )

        solved, pruned = maths.block_wise.prune_block_wise(weight, factor, pattern, self.block_size, choose)
        return MaskedWeight(pruned, solved)

    def _joint(self, pattern: Unstructured | SemiStructured) -> bool:
        if self.solution == "auto":
            return isinstance(pattern, SemiStructured)
        return self.solution == "M"
