"""A method as a composition: mask x refinement x reconstruction, each chosen freely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.methods.base import Dampening, Method, Pruned

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats
    from apt_core.maths.output_metric import OutputMetric
    from apt_core.maths.pieces import Found, Problem

MaskName = Literal["magnitude", "wanda", "ria", "sparsegpt", "apt", "thanos", "gradual-admm", "alps", "admm"]
RefinementName = Literal["none", "sparseswaps"]
ReconstructionName = Literal["none", "search", "block-wise", "joint", "exact"]

MASK = {"title": "Mask", "description": "Which rule says what goes"}
REFINEMENT = {
    "title": "Refinement",
    "description": "sparseswaps trades kept for removed weights while that lowers the layer's error",
}
RECONSTRUCTION = {
    "title": "Reconstruction",
    "description": "How the weights that stay make up: none; as the mask's search left them; APT's optimum "
    "block by block; over whole rows (joint); to the exact end, row by row (slow)",
}


class Composition(Method):
    """Base of the methods that are a named composition; a subclass only sets other defaults."""

    mask: MaskName = Field(default="wanda", **MASK)
    refinement: RefinementName = Field(default="none", **REFINEMENT)
    reconstruction: ReconstructionName = Field(default="none", **RECONSTRUCTION)
    swaps: int = Field(
        default=25,
        ge=1,
        le=1000,
        title="Swaps",
        description="Of the refinement: per row; sweeps over all groups for N:M",
    )
    solver_steps: int = Field(
        default=20,
        ge=0,
        le=500,
        title="Solver steps",
        description="Conjugate gradient steps of the joint reconstruction",
    )
    dampening: Dampening = 0.01

    @property
    def label(self) -> str:
        """The title, and whatever differs from the composition that bears this name."""
        named = type(self)()
        parts = ("mask", "refinement", "reconstruction")
        changed = [
            f"{part} {getattr(self, part)}" for part in parts if getattr(self, part) != getattr(named, part)
        ]
        return f"{self.title} ({', '.join(changed)})" if changed else self.title

    def prune(self, weight: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured) -> Pruned:
        from apt_core.maths import pattern as patterns
        from apt_core.maths.live_inputs import prune_live_inputs

        patterns.check_fits(weight.shape[1], pattern)
        wanted = self.wanted(weight.float(), stats)
        return Pruned(*prune_live_inputs(wanted, stats, pattern, self._prune_live), self.dampening)

    def _prune_live(
        self, wanted: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured
    ) -> tuple[Tensor, Tensor]:
        from apt_core.maths.pieces import RECONSTRUCTIONS, Problem, refine

        problem = Problem(wanted, stats, pattern, self.dampening, self.outputs(stats))
        found = refine(self.refinement, problem, self.search(problem), self.swaps)
        solved = RECONSTRUCTIONS[self.reconstruction](problem, found, self.solver_steps)
        return solved.masked_fill(found.pruned, 0), found.pruned

    def wanted(self, weight: Tensor, stats: LayerStats) -> Tensor:
        """The weights whose outputs the pruned layer is to come close to."""
        return weight

    def outputs(self, stats: LayerStats) -> OutputMetric | None:
        """How much each direction of the layer's output counts; None where all count alike."""
        return None

    def search(self, problem: Problem) -> Found:
        from apt_core.maths.pieces import MASKS

        return MASKS[self.mask](problem)
