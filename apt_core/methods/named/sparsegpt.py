"""SparseGPT: one column at a time, the columns to its right make up for it (arXiv 2301.00774)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Mask, Method, Reconstruction
from apt_core.methods.masks.sparsegpt import SparseGPTMask
from apt_core.methods.reconstructions.search import SearchResult


class SparseGPT(Method):
    """Algorithm 1 of the paper."""

    name: ClassVar[str] = "sparsegpt"
    title: ClassVar[str] = "SparseGPT"
    source: ClassVar[str] = "Frantar & Alistarh 2023, arXiv 2301.00774"
    summary: ClassVar[str] = (
        "Removes weights column by column and lets the columns to the right make up for each; "
        "what is left of a column is never revised."
    )
    advice: ClassVar[str] = "best known"
    place: ClassVar[int] = 3

    mask: Mask = SparseGPTMask()
    reconstruction: Reconstruction = SearchResult()
