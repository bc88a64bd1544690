"""SparseSwaps: a Wanda mask, improved by trading weights (arXiv 2512.10922)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Mask, Method, Refinement
from apt_core.methods.masks.wanda import WandaMask
from apt_core.methods.refinements.sparseswaps import SparseSwaps as Swaps


class SparseSwaps(Method):
    """Start from Wanda and swap kept for removed weights, each swap by its exact change of the loss."""

    name: ClassVar[str] = "sparseswaps"
    title: ClassVar[str] = "SparseSwaps"
    source: ClassVar[str] = "arXiv 2512.10922"
    summary: ClassVar[str] = (
        "Starts from Wanda's choice and trades weights as long as the layer's error falls; "
        "nothing that stays is changed."
    )

    mask: Mask = WandaMask()
    refinement: Refinement = Swaps()
