"""APT joint: the Multiple Removal Problem of the whole layer at once, aimed at the dense model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core.methods.base import Dampening, Method, Pruned
from apt_core.patterns import SemiStructured, Unstructured

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats

# How freely weights trade places at the first step and how firmly the mask is held at the last.
_FIRST_RHO, _LAST_RHO = 0.1, 1.0


class APTJoint(Method):
    """One removal problem per layer instead of one per column block, in three parts.

    Target: what the weights are asked for is a mix of the pruned and the dense model's inputs
    (`maths.drift`), so that a layer also repairs a share of what the layers before it broke.
    Mask: found jointly over the whole matrix by ADMM (`maths.admm`).
    Compensation: APT's optimum for that mask over whole rows, by conjugate gradients.
    """

    name: ClassVar[str] = "apt-joint"
    title: ClassVar[str] = "APT joint"
    source: ClassVar[str] = "this project; after arXiv 2410.15567 and 2406.07831"
    summary: ClassVar[str] = (
        "Chooses and moves all weights of a layer together and steers back towards the dense model: "
        "the most accurate here, and about four times APT's time."
    )

    dense_share: float = Field(
        default=0.3,
        ge=0,
        le=1,
        title="Share of dense inputs",
        description="How much of the drift from the dense model each layer is asked to repair",
    )
    mask_steps: int = Field(default=30, ge=1, le=300, title="Mask steps", description="ADMM steps per layer")
    solver_steps: int = Field(
        default=20,
        ge=0,
        le=500,
        title="Solver steps",
        description="Conjugate gradient steps on the final mask",
    )
    dampening: Dampening = 0.01

    @property
    def compares_with_dense(self) -> bool:
        return self.dense_share > 0

    def prune(self, weight: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured) -> Pruned:
        from apt_core.maths import pattern as patterns
        from apt_core.maths.admm import admm_mask
        from apt_core.maths.compensate import joint_solution
        from apt_core.maths.drift import corrected
        from apt_core.maths.hessian import dampened

        patterns.check_fits(weight.shape[1], pattern)
        hessian = dampened(stats.gram, self.dampening)
        wanted = corrected(weight.float(), stats, self.dense_share, self.dampening)
        pruned, found = admm_mask(wanted, hessian, pattern, self.mask_steps, _FIRST_RHO, _LAST_RHO)
        solved = joint_solution(wanted, pruned, hessian, self.solver_steps, start=found)
        return Pruned(solved, pruned, self.dampening)
