"""SparseSwaps: a mask improved by trading weights (arXiv 2512.10922)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, product
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Refinement, Statistic
from apt_core.methods.problem import LayerProblem, MaskedWeight

_SHORTLIST = 32  # candidates of a row on either side, as in `maths.swaps`
_PARTLY = 0.4  # of a sort: the smallest few of a row
_PASSES_PER_PAIR = 60  # most of them where G is gathered at the pair
_CALLS_PER_GROUP = 50


class SparseSwaps(Refinement):
    """Swap kept for removed weights, each swap by its exact change of the layer's loss."""

    name: ClassVar[str] = "sparseswaps"
    title: ClassVar[str] = "SparseSwaps"
    source: ClassVar[str] = "arXiv 2512.10922"
    summary: ClassVar[str] = "Kept and removed weights trade places as long as that lowers the layer's error."

    swaps: int = Field(
        default=25, ge=1, le=1000, title="Swaps", description="Per row; sweeps over all groups for N:M"
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.GRAM})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """c = G e once; then for each swap the two shortlists of a row and their pairs, or for each sweep all pairs
        of every group and their image [of, in], which is added to all of c."""
        rows, width, weights = shape.out_features, shape.in_features, shape.weights
        first = product(rows, width, width)
        if isinstance(pattern, SemiStructured):
            groups = width / pattern.of
            return Cost(
                products=first + self.swaps * product(rows, width, width),
                moved=self.swaps * (passes(2.2 * weights, groups) + passes(weights, 4 * pattern.of)),
                calls=self.swaps * groups * _CALLS_PER_GROUP,
                peak=4 * FLOAT * weights,
            )
        pairs = rows * _SHORTLIST**2
        return Cost(
            products=first,
            sorted=self.swaps * 2 * _PARTLY * weights,
            moved=passes(16 * weights + _PASSES_PER_PAIR * pairs, self.swaps),
            peak=FLOAT * (6 * weights + 3 * pairs),
        )

    def refine(self, problem: LayerProblem, found: MaskedWeight) -> MaskedWeight:
        pruned = maths.swaps.swapped(
            problem.weight, found.pruned, problem.stats.gram, problem.pattern, self.swaps
        )
        return MaskedWeight.untouched(problem.weight, pruned)
