"""ALPS: the mask and the weights of a whole layer found together (arXiv 2406.07831)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apt_core.methods.composition import MASK, RECONSTRUCTION, Composition, MaskName, ReconstructionName


class ALPS(Composition):
    """ADMM over the whole layer, then a few conjugate gradient steps on the mask it settled on."""

    name: ClassVar[str] = "alps"
    title: ClassVar[str] = "ALPS"
    source: ClassVar[str] = "Meng et al. 2024, arXiv 2406.07831"
    summary: ClassVar[str] = (
        "Lets all weights of a layer trade places until the mask settles, then moves what remains; "
        "slow and strong."
    )

    mask: MaskName = Field(default="alps", **MASK)
    reconstruction: ReconstructionName = Field(default="joint", **RECONSTRUCTION)
    solver_steps: int = Field(
        default=10,
        ge=0,
        le=500,
        title="Solver steps",
        description="Conjugate gradient steps on the final mask",
    )
