"""A target that looks at the dense model: its inputs and the gradients of its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes, product
from apt_core.base.limits import metric_rank
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Statistic, Target

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats
    from apt_core.maths.output_metric import OutputMetric

_DIRECTIONS, _PRODUCTS = 80, 5  # of the subspace iteration in `maths.output_metric`
_STEPS = 30  # products with S


class DenseModel(Target):
    """Two departures from the layer-wise target.

    share: the weights aim at a mix of the outputs on the pruned and on the dense model's inputs (`maths.drift`),
    so that a layer also repairs a part of what the layers before it broke.
    sensitivity: a change of the outputs counts by the gradients g of the dense model's loss there,
    S = (1 - s) I + s E[g g^T] / mean diagonal (`maths.output_metric`; K-FAC, arXiv 1503.05671). From one
    backward pass over a part of the calibration text; no weight is trained.
    """

    name: ClassVar[str] = "dense-model"
    title: ClassVar[str] = "Dense model"
    source: ClassVar[str] = "this project; after arXiv 1503.05671 and 2312.17244"
    summary: ClassVar[str] = (
        "A layer also repairs what earlier layers broke, and outputs count by how sensitive the loss is to them."
    )
    place: ClassVar[int] = 10

    share: float = Field(
        default=0.4,
        ge=0,
        le=1,
        title="Share of dense inputs",
        description="How much of the drift from the dense model's inputs each layer is to repair",
    )
    sensitivity: float = Field(
        default=0.5,
        ge=0,
        le=1,
        title="Sensitivity of the loss",
        description="How much outputs count by the gradients of the dense loss, instead of all alike",
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        drift = {Statistic.DENSE_STREAM, Statistic.SPECTRUM} if self.share else set()
        loss = {Statistic.OUTPUT_GRADIENTS, Statistic.SPECTRUM} if self.sensitivity else set()
        return frozenset(drift | loss)

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """Three products for the corrected weight; the leading directions of S, and their part in every product with S
        that a search and a reconstruction of some steps take."""
        rows, width = shape.out_features, shape.in_features
        total = Cost()
        if self.share:
            corrected = 3 * product(rows, width, width)
            total += Cost(products=corrected, moved=passes(shape.weights, 6), peak=4 * FLOAT * shape.weights)
        if self.sensitivity:
            directions = min(_DIRECTIONS, rows)
            condensed = _PRODUCTS * product(rows, rows, directions)
            rank = metric_rank(rows)
            steps = _STEPS * 2 * (product(rank, width, width) + product(rows, rank, width))
            total += Cost(
                products=condensed + steps,
                factorisations=_PRODUCTS * 4.0 * rows * directions**2,
                moved=passes(rows**2, 5) + passes(shape.weights, _STEPS),
                peak=3 * FLOAT * rows**2,
            )
        return total

    def weight(self, weight: Tensor, stats: LayerStats, dampening: float) -> Tensor:
        return maths.drift.corrected(weight, stats, self.share, dampening)

    def condense(self, outer: Tensor) -> OutputMetric:
        return maths.output_metric.by_loss(outer, self.sensitivity)

    def outputs(self, stats: LayerStats) -> OutputMetric | None:
        return stats.outputs if self.sensitivity else None
