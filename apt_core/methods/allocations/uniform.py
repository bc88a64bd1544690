"""Every layer loses the same share."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.component import Allocation


class Uniform(Allocation):
    """The convention of most published methods."""

    name: ClassVar[str] = "uniform"
    title: ClassVar[str] = "Uniform"
    source: ClassVar[str] = ""
    summary: ClassVar[str] = "Every layer loses the same share of its weights."
    place: ClassVar[int] = 0
