"""Thanos: Wanda's scores with block-wise compensation (arXiv 2504.05346)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Mask, Method, Reconstruction
from apt_core.methods.masks.thanos import ThanosMask
from apt_core.methods.reconstructions.search import SearchResult


class Thanos(Method):
    """APT's compensation of whole blocks, with masks by Wanda's scores over all columns that remain."""

    name: ClassVar[str] = "thanos"
    title: ClassVar[str] = "Thanos"
    source: ClassVar[str] = "arXiv 2504.05346, without dense outlier rows"
    summary: ClassVar[str] = (
        "Chooses by Wanda's rule among all remaining columns and compensates a whole block at once."
    )

    mask: Mask = ThanosMask()
    reconstruction: Reconstruction = SearchResult()
