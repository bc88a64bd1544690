"""The least-squares optimum of every row, solved to the end (`maths.compensate.full_compensation`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, product
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Reconstruction, Statistic
from apt_core.methods.problem import LayerProblem, MaskedWeight

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 4_000_000  # numbers of the systems that are solved together, as in `maths.compensate`


class Exact(Reconstruction):
    """w_K += w_P G_PK (G_KK)^-1: one system per row, as wide as the row keeps weights."""

    name: ClassVar[str] = "exact"
    title: ClassVar[str] = "Exact"
    source: ClassVar[str] = "the normal equations; as a quadratic programme in arXiv 2512.13886"
    summary: ClassVar[str] = "The weights that stay take their exact best values, row by row; slow."
    place: ClassVar[int] = 40

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.GRAM})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """An LU factor (2 n^3 / 3) for each row's n kept weights."""
        rows, width = shape.out_features, shape.in_features
        kept = (1 - pattern.sparsity) * width
        return Cost(
            products=product(rows, width, width),
            factorisations=rows * 2 * kept**3 / 3,
            sorted=shape.weights,
            moved=passes(rows * kept**2, 10),
            peak=FLOAT * (2 * shape.weights + width**2 + 3 * min(max(_CHUNK, kept**2), rows * kept**2)),
        )

    def solve(self, problem: LayerProblem, found: MaskedWeight) -> Tensor:
        return maths.compensate.full_compensation(problem.weight, found.pruned, problem.hessian)
