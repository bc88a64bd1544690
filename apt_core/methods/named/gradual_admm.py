"""ADMM pruning with a mask that grows step by step (arXiv 2401.02938)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Dampening, Mask, Method, Reconstruction
from apt_core.methods.masks.gradual_admm import GradualADMMMask
from apt_core.methods.reconstructions.search import SearchResult


class GradualADMM(Method):
    """Twenty steps, the mask chosen anew in the first fifteen; the paper's dampening."""

    name: ClassVar[str] = "admm"
    title: ClassVar[str] = "ADMM"
    source: ClassVar[str] = "Boza 2024, arXiv 2401.02938"
    summary: ClassVar[str] = "Removes more and more weights in fifteen steps while the rest keeps adjusting."

    mask: Mask = GradualADMMMask()
    reconstruction: Reconstruction = SearchResult()
    dampening: Dampening = 0.1
