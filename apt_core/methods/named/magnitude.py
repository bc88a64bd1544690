"""Magnitude: the oldest baseline. Looks at the weights alone."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Mask, Method
from apt_core.methods.masks.magnitude import MagnitudeMask


class Magnitude(Method):
    """Remove the smallest |w| of each matrix; nothing is compensated."""

    name: ClassVar[str] = "magnitude"
    title: ClassVar[str] = "Magnitude"
    source: ClassVar[str] = "Han et al. 2015, arXiv 1506.02626"
    summary: ClassVar[str] = (
        "Drops the smallest weights and looks at nothing else: instant, and usually the worst."
    )
    place: ClassVar[int] = 5

    mask: Mask = MagnitudeMask()
