"""RIA's rule: weights against their row and their column (Zhang et al., ICLR 2024)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, selected
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

    comparison: Literal["matrix", "row"] = Field(
        default="matrix",
        title="Comparison",
        description="Unstructured: scores compete within the matrix, as in the authors' code, or their row",
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.MOMENTS})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        return Cost(
            sorted=selected(shape.weights, pattern),
            moved=passes(shape.weights, 11),
            peak=3 * FLOAT * shape.weights,
        )

    def search(self, problem: LayerProblem) -> MaskedWeight:
        scores = maths.saliency.ria(problem.weight, problem.stats.gram)
        pruned = maths.pattern.choose(scores, problem.pattern, self.comparison)
        return MaskedWeight.untouched(problem.weight, pruned)
