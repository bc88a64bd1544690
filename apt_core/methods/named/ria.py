"""RIA: weights against their row and their column (ICLR 2024)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Mask, Method
from apt_core.methods.masks.ria import RIAMask


class RIA(Method):
    """Relative importance and activations: Wanda, with each weight measured against its row and its column."""

    name: ClassVar[str] = "ria"
    title: ClassVar[str] = "RIA"
    source: ClassVar[str] = "Zhang et al. 2024, Plug-and-Play, ICLR 2024"
    summary: ClassVar[str] = (
        "Like Wanda, but a weight counts by its share of its row and its column; "
        "nothing that stays is changed."
    )

    mask: Mask = RIAMask()
