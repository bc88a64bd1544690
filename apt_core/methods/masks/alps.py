"""The mask of ALPS: found together with the weights, by ADMM whose penalty follows the mask (arXiv 2406.07831)."""

from __future__ import annotations

from typing import ClassVar

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, product
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Mask, Statistic
from apt_core.methods.problem import LayerProblem, MaskedWeight

# As layers of SmolLM2 take them in the mean, N:M and unstructured; at most 300. The penalty changes every third.
_GROUPED_STEPS, _STEPS = 24, 36


class ALPSMask(Mask):
    """As published, with the constants of the paper and its code (`maths.alps`)."""

    name: ClassVar[str] = "alps"
    title: ClassVar[str] = "ALPS"
    source: ClassVar[str] = "Meng et al. 2024, arXiv 2406.07831"
    summary: ClassVar[str] = "All weights of a layer trade places until the mask settles."
    place: ClassVar[int] = 90
    moves_weights: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.GRAM})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """One product a step and one of [in, in] for each new penalty, after eigenvectors in float64 (twice float32's
        9 n^3) that layers do not share."""
        rows, width = shape.out_features, shape.in_features
        steps = _GROUPED_STEPS if isinstance(pattern, SemiStructured) else _STEPS
        return Cost(
            products=(steps + 1) * product(rows, width, width) + steps / 3 * product(width, width, width),
            spectra=18.0 * width**3,
            sorted=steps * shape.weights,
            moved=passes(shape.weights, 8 * steps),
            peak=FLOAT * max(10 * width**2 + 2 * shape.weights, 4 * width**2 + 8 * shape.weights),
        )

    def search(self, problem: LayerProblem) -> MaskedWeight:
        return MaskedWeight(*maths.alps.alps_mask(problem.weight, problem.hessian, problem.pattern))
