"""The mask of APT joint: found together with the weights, by ADMM with a penalty that grows geometrically."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, product
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Mask, Statistic
from apt_core.methods.problem import LayerProblem, MaskedWeight

_FIRST_PENALTY, _LAST_PENALTY = 0.1, 1.0
_STEPS_PER_PENALTY = 5  # as in `maths.admm`
_GROUPED = 16  # passes that finding the largest two of four neighbours takes


class ADMMMask(Mask):
    """As ALPS in fewer steps, and for any weighting of the outputs (`maths.admm`)."""

    name: ClassVar[str] = "admm"
    title: ClassVar[str] = "ADMM"
    source: ClassVar[str] = "this project; after arXiv 2406.07831"
    summary: ClassVar[str] = "All weights of a layer trade places while a growing penalty settles the mask."
    place: ClassVar[int] = 95
    moves_weights: ClassVar[bool] = True

    steps: int = Field(
        default=30, ge=1, le=300, title="Steps", description="After each, every weight may have traded places"
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.GRAM, Statistic.SPECTRUM})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """One product a step, and a new inverse [in, in], symmetric, for every fifth."""
        rows, width = shape.out_features, shape.in_features
        inverses = -(-self.steps // _STEPS_PER_PENALTY)
        grouped = isinstance(pattern, SemiStructured)
        sorts = isinstance(pattern, SemiStructured) and (pattern.keep, pattern.of) != (2, 4)
        return Cost(
            products=(self.steps + 1) * product(rows, width, width)
            + inverses * product(width, width, width) / 2,
            sorted=shape.weights * (1 + (self.steps if sorts else 0)),
            moved=passes(shape.weights, (7 + (_GROUPED if grouped else 1)) * self.steps)
            + passes(width**2, 5 * (inverses + self.steps)),
            peak=FLOAT * (2 * width**2 + 9 * shape.weights),
        )

    def search(self, problem: LayerProblem) -> MaskedWeight:
        inputs, penalties = problem.stats.spectrum(problem.dampening), (_FIRST_PENALTY, _LAST_PENALTY)
        return MaskedWeight(
            *maths.admm.admm_mask(
                problem.weight, inputs, problem.pattern, self.steps, *penalties, problem.outputs
            )
        )
