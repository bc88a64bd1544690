"""ALPS: the mask and the weights of a whole layer found together (arXiv 2406.07831)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core.methods.base import Dampening, Method, Pruned
from apt_core.patterns import SemiStructured, Unstructured

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats


class ALPS(Method):
    """ADMM over the whole layer, then a few conjugate gradient steps on the mask it settled on."""

    name: ClassVar[str] = "alps"
    title: ClassVar[str] = "ALPS"
    source: ClassVar[str] = "Meng et al. 2024, arXiv 2406.07831"
    summary: ClassVar[str] = (
        "Lets all weights of a layer trade places until the mask settles, then moves what remains; slow and strong."
    )

    dampening: Dampening = 0.01
    solver_steps: int = Field(
        default=10,
        ge=0,
        le=500,
        title="Solver steps",
        description="Conjugate gradient steps on the final mask",
    )

    def prune(self, weight: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured) -> Pruned:
        from apt_core.maths import pattern as patterns
        from apt_core.maths.alps import alps_mask
        from apt_core.maths.compensate import joint_solution
        from apt_core.maths.hessian import dampened

        patterns.check_fits(weight.shape[1], pattern)
        hessian = dampened(stats.gram, self.dampening)
        dense = weight.float()
        pruned, found = alps_mask(dense, hessian, pattern)
        solved = joint_solution(dense, pruned, hessian, self.solver_steps, start=found)
        return Pruned(solved, pruned, self.dampening)
