"""ALPS: the mask and the weights of a whole layer found together (arXiv 2406.07831)."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.base import Mask, Method, Reconstruction
from apt_core.methods.masks.alps import ALPSMask
from apt_core.methods.reconstructions.joint import Joint


class ALPS(Method):
    """ADMM over the whole layer, then a few conjugate gradient steps on the mask it settled on."""

    name: ClassVar[str] = "alps"
    title: ClassVar[str] = "ALPS"
    source: ClassVar[str] = "Meng et al. 2024, arXiv 2406.07831"
    summary: ClassVar[str] = (
        "Lets all weights of a layer trade places until the mask converges, then updates the rest; "
        "slow and strong."
    )
    place: ClassVar[int] = 6

    mask: Mask = ALPSMask()
    reconstruction: Reconstruction = Joint(steps=10)
