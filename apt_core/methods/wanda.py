"""Wanda: weights times the size of their inputs (arXiv 2306.11695)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apt_core.methods.composition import MASK, Composition, MaskName


class Wanda(Composition):
    """Remove the smallest |w_ij| ||x_j|| of each output row; nothing is compensated."""

    name: ClassVar[str] = "wanda"
    title: ClassVar[str] = "Wanda"
    source: ClassVar[str] = "Sun et al. 2023, arXiv 2306.11695"
    summary: ClassVar[str] = (
        "Drops weights that are small or whose inputs are small; the weights that stay are not changed."
    )

    mask: MaskName = Field(default="wanda", **MASK)
