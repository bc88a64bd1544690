"""A mask that grows step by step within ADMM (arXiv 2401.02938)."""

from __future__ import annotations

from typing import ClassVar

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, product
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Mask, Statistic
from apt_core.methods.problem import LayerProblem, MaskedWeight

_STEPS, _CHOOSING = 20, 15  # as in `maths.gradual`
_IN_GROUPS = (
    0.75  # of a sort: the lowest of every group, and leaving all others out of the order of the matrix
)


class GradualADMMMask(Mask):
    """Twenty steps, the mask chosen anew in the first fifteen while the sparsity rises cubically."""

    name: ClassVar[str] = "gradual-admm"
    title: ClassVar[str] = "Gradual ADMM"
    source: ClassVar[str] = "Boza 2024, arXiv 2401.02938"
    summary: ClassVar[str] = "More and more weights go in fifteen steps while the rest keeps adjusting."
    place: ClassVar[int] = 80
    moves_weights: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.GRAM})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """One product a step, after one Cholesky inverse (n^3) that layers do not share."""
        rows, width = shape.out_features, shape.in_features
        in_groups = _IN_GROUPS * shape.weights if isinstance(pattern, SemiStructured) else 0.0
        return Cost(
            products=(_STEPS + 1) * product(rows, width, width),
            factorisations=float(width**3),
            sorted=_CHOOSING * (1.2 * shape.weights + in_groups),
            moved=passes(shape.weights, 18 * _STEPS),
            peak=FLOAT * (9 * shape.weights + 3 * width**2),
        )

    def search(self, problem: LayerProblem) -> MaskedWeight:
        return MaskedWeight(
            *maths.gradual.gradual_mask(
                problem.weight, problem.stats.gram, problem.pattern, problem.dampening
            )
        )
