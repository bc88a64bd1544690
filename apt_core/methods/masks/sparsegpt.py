"""SparseGPT's rule: one column at a time, the columns to its right make up for it (arXiv 2301.00774)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, product
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Mask, Statistic
from apt_core.methods.problem import LayerProblem, MaskedWeight

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.sequential import Score


_CALLS_PER_COLUMN, _CALLS_PER_GROUP = 9, 18


class SparseGPTMask(Mask):
    """Algorithm 1 of the paper: masks per column block (or N:M group), then sequential updates."""

    name: ClassVar[str] = "sparsegpt"
    title: ClassVar[str] = "SparseGPT"
    source: ClassVar[str] = "Frantar & Alistarh 2023, arXiv 2301.00774"
    summary: ClassVar[str] = (
        "Column by column, removes the weights whose loss the columns to the right compensate best."
    )
    place: ClassVar[int] = 40
    moves_weights: ClassVar[bool] = True

    block_size: int = Field(
        default=128, ge=16, le=4096, title="Block size", description="Columns whose mask is chosen together"
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.GRAM, Statistic.INVERSE_FACTOR})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """Half a product with U, and for each column a few small operations and a rank-one update of what is left of
        the block; that lies in the cache, which is some four times as fast as memory."""
        rows, width = shape.out_features, shape.in_features
        block = min(self.block_size, width)
        of_groups = _CALLS_PER_GROUP / pattern.of if isinstance(pattern, SemiStructured) else 0
        return Cost(
            products=product(rows, width, width) / 2,
            sorted=1.2 * shape.weights,
            moved=passes(shape.weights, block / 8 + 6),
            calls=width * (_CALLS_PER_COLUMN + of_groups),
            peak=FLOAT * (2 * shape.weights + 3 * rows * block),
        )

    def search(self, problem: LayerProblem) -> MaskedWeight:
        weight, stats, pattern, dampening = problem[:4]
        factor = stats.inverse_factor(dampening)
        score = self.score(problem, factor)
        work, pruned = maths.sequential.prune_sequentially(
            weight, factor, stats.dead, pattern, self.block_size, score
        )
        return MaskedWeight(pruned, work)

    def score(self, problem: LayerProblem, factor: Tensor) -> Score:
        """How the columns start..stop of the weight, as updated so far, are ranked."""
        return lambda columns, start, stop: maths.saliency.obs(columns, factor[start:stop, start:stop])
