"""Layers lose more where that costs the model's loss less (`maths.allocation`)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import Cost
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Allocation, DenseModel, LayerKey, Statistic

_SAMPLE, _HALVINGS = 20_000, 60  # of a layer's weights, and of the threshold, as in `maths.allocation`


class LossAllocation(Allocation):
    """One threshold on the estimated cost of each removal over the whole model; unstructured patterns only."""

    name: ClassVar[str] = "loss"
    title: ClassVar[str] = "By the loss"
    source: ClassVar[str] = "this project; costs after Optimal Brain Damage and K-FAC, arXiv 1503.05671"
    summary: ClassVar[str] = (
        "Layers lose fewer weights where the model's loss is more sensitive to them; "
        "the whole loses exactly what was chosen."
    )
    place: ClassVar[int] = 10

    max_deviation: float = Field(
        default=0.25,
        ge=0,
        le=0.5,
        title="Largest deviation",
        description="How far a layer's sparsity may lie from the whole model's",
    )

    strength: float = Field(
        default=1.0,
        ge=0,
        le=2,
        title="Strength",
        description="How much of the estimated difference between layers counts: 1 all of it, 0.5 half (in logs)",
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.OUTPUT_GRADIENTS} if self.max_deviation else ())

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        sample = min(_SAMPLE, shape.weights)
        return Cost(sorted=sample, moved=4.0 * sample * _HALVINGS) if self.varies(pattern) else Cost()

    def varies(self, pattern: Unstructured | SemiStructured) -> bool:
        return pattern.by_layer and self.max_deviation > 0

    def shares(
        self, dense: DenseModel, pattern: Unstructured | SemiStructured
    ) -> dict[LayerKey, float] | None:
        costs = dense.costs
        if not self.varies(pattern) or not costs or pattern.sparsity == 0:
            return None
        wanted = maths.allocation.tempered(list(costs.values()), self.strength)
        counts = maths.allocation.removals(wanted, pattern.sparsity, self.max_deviation)
        return {key: count / costs[key].weights for key, count in zip(costs, counts, strict=True)}
