"""SparseSwaps: a Wanda mask, improved by trading weights (arXiv 2512.10922)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apt_core.methods.composition import MASK, REFINEMENT, Composition, MaskName, RefinementName


class SparseSwaps(Composition):
    """Start from Wanda and swap kept for removed weights, each swap by its exact change of the loss."""

    name: ClassVar[str] = "sparseswaps"
    title: ClassVar[str] = "SparseSwaps"
    source: ClassVar[str] = "arXiv 2512.10922"
    summary: ClassVar[str] = (
        "Starts from Wanda's choice and trades weights as long as the layer's error falls; "
        "nothing that stays is changed."
    )

    mask: MaskName = Field(default="wanda", **MASK)
    refinement: RefinementName = Field(default="sparseswaps", **REFINEMENT)
