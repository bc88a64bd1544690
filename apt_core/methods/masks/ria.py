"""RIA's rule: weights against their row and their column (Zhang et al., ICLR 2024)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from apt_core.base.cost import FLOAT, Cost, passes
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Mask, Statistic
from apt_core.methods.problem import LayerProblem, MaskedWeight


class RIAMask(Mask):
    """Relative importance and activations: Wanda, with each weight measured against its row and its column."""

    name: ClassVar[str] = "ria"
    title: ClassVar[str] = "RIA"
    source: ClassVar[str] = "Zhang et al. 2024, Plug-and-Play, ICLR 2024"
    summary: ClassVar[str] = "Like Wanda, but a weight counts by its share of its row and its column."
    place: ClassVar[int] = 30

    comparison: Literal["row", "matrix"] = Field(
        default="row",
        title="Comparison",
        description="Unstructured: scores compete within their row, or within the whole matrix",
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.MOMENTS})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        return Cost(sorted=shape.weights, moved=passes(shape.weights, 11), peak=4 * FLOAT * shape.weights)

    def search(self, problem: LayerProblem) -> MaskedWeight:
        from apt_core.maths.pattern import choose_by_row, choose_in_matrix
        from apt_core.maths.saliency import ria

        choose = choose_by_row if self.comparison == "row" else choose_in_matrix
        scores = ria(problem.weight, problem.stats.gram)
        return MaskedWeight.untouched(problem.weight, choose(scores, problem.pattern))
