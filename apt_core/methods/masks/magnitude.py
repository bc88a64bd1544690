"""Magnitude: the oldest rule (arXiv 1506.02626). Looks at the weights alone."""

from __future__ import annotations

from typing import ClassVar

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, selected
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
        return Cost(
            sorted=selected(shape.weights, pattern),
            moved=passes(shape.weights, 6),
            peak=2 * FLOAT * shape.weights,
        )

    def search(self, problem: LayerProblem) -> MaskedWeight:
        return MaskedWeight.untouched(
            problem.weight, maths.pattern.choose_in_matrix(problem.weight.abs(), problem.pattern)
        )
