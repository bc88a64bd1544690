"""Magnitude: the oldest baseline. Looks at the weights alone."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apt_core.methods.composition import MASK, Composition, MaskName


class Magnitude(Composition):
    """Remove the smallest |w| of each matrix; nothing is compensated."""

    name: ClassVar[str] = "magnitude"
    title: ClassVar[str] = "Magnitude"
    source: ClassVar[str] = "Han et al. 2015, arXiv 1506.02626"
    summary: ClassVar[str] = (
        "Drops the smallest weights and looks at nothing else: instant, and usually the worst."
    )

    mask: MaskName = Field(default="magnitude", **MASK)
