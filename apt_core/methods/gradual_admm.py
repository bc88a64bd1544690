"""ADMM pruning with a mask that grows step by step (arXiv 2401.02938)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apt_core.methods.base import Dampening
from apt_core.methods.composition import MASK, RECONSTRUCTION, Composition, MaskName, ReconstructionName


class GradualADMM(Composition):
    """Twenty steps, the mask chosen anew in the first fifteen while the sparsity rises cubically."""

    name: ClassVar[str] = "admm"
    title: ClassVar[str] = "ADMM"
    source: ClassVar[str] = "Boza 2024, arXiv 2401.02938"
    summary: ClassVar[str] = "Removes more and more weights in fifteen steps while the rest keeps adjusting."

    mask: MaskName = Field(default="gradual-admm", **MASK)
    reconstruction: ReconstructionName = Field(default="search", **RECONSTRUCTION)
    dampening: Dampening = 0.1
