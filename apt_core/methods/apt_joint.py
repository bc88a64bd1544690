"""APT joint: the Multiple Removal Problem of the whole layer at once, aimed at the dense model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.methods.composition import MASK, RECONSTRUCTION, Composition, MaskName, ReconstructionName

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats
    from apt_core.maths.output_metric import OutputMetric
    from apt_core.maths.pieces import Found, Problem


class APTJoint(Composition):
    """One removal problem per layer instead of one per column block, in five parts.

    Target: what the weights are asked for is a mix of the pruned and the dense model's inputs
    (`maths.drift`), so that a layer also repairs a share of what the layers before it broke.
    Objective: a change of the outputs counts by what the dense model's loss minds of it
    (`maths.output_metric`), from one backward pass over a part of the calibration text; no weight is trained.
    Unstructured, layers whose weights the loss minds more lose fewer (`budgets`); the whole loses exactly
    what was asked.
    Mask: found jointly over the whole matrix by ADMM (`maths.admm`).
    Compensation: APT's optimum for that mask and that objective over the whole matrix, by conjugate gradients.
    """

    name: ClassVar[str] = "apt-joint"
    title: ClassVar[str] = "APT joint"
    source: ClassVar[str] = "this project; after arXiv 2410.15567 and 2406.07831"
    summary: ClassVar[str] = (
        "Chooses and moves all weights of a layer together, guided by what the dense model's loss minds: "
        "the most accurate here, and several times APT's time."
    )

    mask: MaskName = Field(default="admm", **MASK)
    reconstruction: ReconstructionName = Field(default="joint", **RECONSTRUCTION)
    dense_share: float = Field(
        default=0.4,
        ge=0,
        le=1,
        title="Share of dense inputs",
        description="How much of the drift from the dense model each layer is asked to repair",
    )
    loss_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        title="Share of the loss",
        description="How much outputs count by what the model's loss minds, instead of all alike",
    )
    budgets: float = Field(
        default=0.25,
        ge=0,
        le=0.5,
        title="Budgets",
        description="How far a layer's sparsity may lie from the whole model's; unstructured only, 0 for none",
    )
    solver_steps: int = Field(
        default=10,
        ge=0,
        le=500,
        title="Solver steps",
        description="Conjugate gradient steps on the final mask",
    )
    mask_steps: int = Field(default=25, ge=1, le=300, title="Mask steps", description="Of the mask admm")

    @property
    def compares_with_dense(self) -> bool:
        return self.dense_share > 0 or self.loss_share > 0

    @property
    def asks_the_loss(self) -> bool:
        return self.loss_share > 0

    def budget_reach(self, pattern: Unstructured | SemiStructured) -> float:
        return self.budgets if self.asks_the_loss and isinstance(pattern, Unstructured) else 0.0

    def wanted(self, weight: Tensor, stats: LayerStats) -> Tensor:
        from apt_core.maths.drift import corrected

        return corrected(weight, stats, self.dense_share, self.dampening)

    def condense(self, outer: Tensor) -> OutputMetric:
        from apt_core.maths.output_metric import by_loss

        return by_loss(outer, self.loss_share)

    def outputs(self, stats: LayerStats) -> OutputMetric | None:
        return stats.outputs

    def search(self, problem: Problem) -> Found:
        from apt_core.maths.pieces import admm

        return admm(problem, self.mask_steps) if self.mask == "admm" else super().search(problem)
