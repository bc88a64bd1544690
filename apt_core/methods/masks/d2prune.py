"""D2Prune's rule: SparseGPT with a saliency that also looks at the outputs (arXiv 2601.09176)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import Cost, passes, product
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.masks.sparsegpt import SparseGPTMask
from apt_core.methods.problem import LayerProblem

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.sequential import Score


class D2PruneMask(SparseGPTMask):
    """W^2 / U_jj^2 + r |W_ij| y_i x_j, with the size y_i of each output and x_j of each input.

    The authors' code averages both sizes over the calibration sequences with weights that grow with their
    number; `maths.dual` has its closed form.
    """

    name: ClassVar[str] = "d2prune"
    title: ClassVar[str] = "D2Prune"
    source: ClassVar[str] = "arXiv 2601.09176"
    summary: ClassVar[str] = (
        "SparseGPT's rule, with weights also counted by how large their inputs and their outputs are."
    )
    place: ClassVar[int] = 50

    output_weight: float = Field(
        default=1.0,
        ge=0,
        le=10_000,
        title="Output weight",
        description="How much the size of inputs and outputs counts beside SparseGPT's own score",
    )

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """SparseGPT's, one product with G for the sizes of the outputs, and the second term of each score."""
        rows, width = shape.out_features, shape.in_features
        sizes = Cost(products=product(rows, width, width), moved=passes(shape.weights, 6))
        groups = width / pattern.of if isinstance(pattern, SemiStructured) else 0
        return super().cost(shape, tokens, pattern) + sizes + Cost(calls=6 * groups)

    def score(self, problem: LayerProblem, factor: Tensor) -> Score:
        outputs, inputs, unit = maths.dual.sizes(problem.weight, problem.stats)

        def score(columns: Tensor, start: int, stop: int) -> Tensor:
            also = columns.abs() * outputs.unsqueeze(1) * inputs[start:stop]
            return (
                unit * maths.saliency.obs(columns, factor[start:stop, start:stop]) + self.output_weight * also
            )

        return score
