"""OPTIMA: Wanda's mask, and the best weights for it (arXiv 2512.13886)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Mask, Method, Reconstruction
from apt_core.methods.masks.wanda import WandaMask
from apt_core.methods.reconstructions.exact import Exact


class OPTIMA(Method):
    """The paper solves one quadratic programme per row to a tolerance; here each is solved exactly."""

    name: ClassVar[str] = "optima"
    title: ClassVar[str] = "OPTIMA"
    source: ClassVar[str] = "arXiv 2512.13886"
    summary: ClassVar[str] = (
        "Keeps Wanda's choice and computes the exact best value of every weight that stays; slow."
    )

    mask: Mask = WandaMask()
    reconstruction: Reconstruction = Exact()
