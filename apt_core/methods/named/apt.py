"""APT: many weights at once, with the closed-form optimal compensation (arXiv 2410.15567)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Mask, Method, Reconstruction
from apt_core.methods.masks.apt import APTMask
from apt_core.methods.reconstructions.search import SearchResult


class APT(Method):
    """Mask and compensation of one block of columns after the other, each solved as one removal problem."""

    name: ClassVar[str] = "apt"
    title: ClassVar[str] = "APT"
    source: ClassVar[str] = "Zhao et al. 2024, arXiv 2410.15567"
    summary: ClassVar[str] = (
        "Removes many weights at once and moves all that remain in the block to the optimum, in closed form."
    )
    advice: ClassVar[str] = "as published"
    place: ClassVar[int] = 1

    mask: Mask = APTMask()
    reconstruction: Reconstruction = SearchResult()
