"""The optimal compensation of a whole layer at once, by conjugate gradients (`maths.joint`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, product
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Reconstruction, Statistic
from apt_core.methods.problem import LayerProblem, MaskedWeight

if TYPE_CHECKING:
    from torch import Tensor


class Joint(Reconstruction):
    """APT's optimum over whole rows, and over all rows together where directions of the output differ in weight."""

    name: ClassVar[str] = "joint"
    title: ClassVar[str] = "Joint"
    source: ClassVar[str] = "this project; after arXiv 2410.15567 and 2406.07831"
    summary: ClassVar[str] = "All weights of the layer that stay move together towards the optimum."
    place: ClassVar[int] = 30

    steps: int = Field(
        default=20, ge=0, le=500, title="Steps", description="Conjugate gradient steps on the final mask"
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.GRAM})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """One product a step, and two for the first residual."""
        rows, width = shape.out_features, shape.in_features
        return Cost(
            products=(self.steps + 2) * product(rows, width, width),
            moved=passes(shape.weights, 8 * (self.steps + 1)) + passes(width**2, 5 * self.steps),
            peak=FLOAT * (7 * shape.weights + 2 * width**2),
        )

    def solve(self, problem: LayerProblem, found: MaskedWeight) -> Tensor:
        weight, stats, _, dampening, outputs = problem[:5]
        pruned, start = found.pruned, found.weight
        if outputs is None:
            return maths.joint.joint_solution(weight, pruned, problem.hessian, self.steps, start=start)
        return maths.joint.tied_solution(
            weight, pruned, stats.spectrum(dampening), outputs, self.steps, start=start
        )
