"""Wanda's rule: weights times the size of their inputs (arXiv 2306.11695)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.base.cost import FLOAT, Cost, passes
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

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.MOMENTS})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        return Cost(sorted=shape.weights, moved=passes(shape.weights, 7), peak=3 * FLOAT * shape.weights)

    def search(self, problem: LayerProblem) -> MaskedWeight:
        from apt_core.maths.pattern import choose_by_row
        from apt_core.maths.saliency import wanda

        scores = wanda(problem.weight, problem.stats.gram)
        return MaskedWeight.untouched(problem.weight, choose_by_row(scores, problem.pattern))
