"""OPTIMA: Wanda's mask, and the best weights for it (arXiv 2512.13886)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apt_core.methods.composition import MASK, RECONSTRUCTION, Composition, MaskName, ReconstructionName


class OPTIMA(Composition):
    """The paper solves one quadratic programme per row to a tolerance; here each is solved exactly."""

    name: ClassVar[str] = "optima"
    title: ClassVar[str] = "OPTIMA"
    source: ClassVar[str] = "arXiv 2512.13886"
    summary: ClassVar[str] = (
        "Keeps Wanda's choice and computes the exact best value of every weight that stays; slow."
    )

    mask: MaskName = Field(default="wanda", **MASK)
    reconstruction: ReconstructionName = Field(default="exact", **RECONSTRUCTION)
