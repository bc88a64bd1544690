"""Wanda: weights times the size of their inputs (arXiv 2306.11695)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Mask, Method
from apt_core.methods.masks.wanda import WandaMask


class Wanda(Method):
    """Remove the smallest |w_ij| ||x_j|| of each output row; nothing is compensated."""

    name: ClassVar[str] = "wanda"
    title: ClassVar[str] = "Wanda"
    source: ClassVar[str] = "Sun et al. 2023, arXiv 2306.11695"
    summary: ClassVar[str] = (
        "Drops weights that are small or whose inputs are small; the weights that stay are not changed."
    )
    advice: ClassVar[str] = "fast"
    place: ClassVar[int] = 4

    mask: Mask = WandaMask()
