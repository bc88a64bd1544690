"""Wanda's rule: weights times the size of their inputs (arXiv 2306.11695)."""

from __future__ import annotations

from typing import ClassVar

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, selected
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Mask, Statistic
from apt_core.methods.problem import LayerProblem, MaskedWeight


class WandaMask(Mask):
    """The smallest |w_ij| ||x_j|| of each output row."""

    name: ClassVar[str] = "wanda"
    title: ClassVar[str] = "Wanda"
    source: ClassVar[str] = "Sun et al. 2023, arXiv 2306.11695"
    summary: ClassVar[str] = "In every row the weights go that are small or whose inputs are small."
    place: ClassVar[int] = 20
    compares: ClassVar[str] = "wanda"

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.MOMENTS})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        return Cost(
            sorted=selected(shape.weights, pattern),
            moved=passes(shape.weights, 7),
            peak=2 * FLOAT * shape.weights,
        )

    def search(self, problem: LayerProblem) -> MaskedWeight:
        scores = maths.saliency.wanda(problem.weight, problem.stats.gram)
        return MaskedWeight.untouched(problem.weight, maths.pattern.choose_by_row(scores, problem.pattern))
