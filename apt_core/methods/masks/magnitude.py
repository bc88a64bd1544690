"""Magnitude: the oldest rule (arXiv 1506.02626). Looks at the weights alone."""

from __future__ import annotations

from typing import ClassVar

from apt_core.base.cost import FLOAT, Cost, passes
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Mask
from apt_core.methods.problem import LayerProblem, MaskedWeight


class MagnitudeMask(Mask):
    """The smallest |w| of the matrix, or of each N:M group."""

    name: ClassVar[str] = "magnitude"
    title: ClassVar[str] = "Magnitude"
    source: ClassVar[str] = "Han et al. 2015, arXiv 1506.02626"
    summary: ClassVar[str] = "The smallest weights of the matrix go."
    place: ClassVar[int] = 10

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        return Cost(sorted=shape.weights, moved=passes(shape.weights, 6), peak=3 * FLOAT * shape.weights)

    def search(self, problem: LayerProblem) -> MaskedWeight:
        from apt_core.maths.pattern import choose_in_matrix

        return MaskedWeight.untouched(problem.weight, choose_in_matrix(problem.weight.abs(), problem.pattern))
