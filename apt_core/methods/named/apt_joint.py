"""APT joint: the Multiple Removal Problem of the whole layer at once, aimed at the dense model."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.allocations.loss import LossAllocation
from apt_core.methods.base import Allocation, Mask, Method, Reconstruction, Target
from apt_core.methods.masks.admm import ADMMMask
from apt_core.methods.reconstructions.joint import Joint
from apt_core.methods.targets.dense_model import DenseModel


class APTJoint(Method):
    """One removal problem per layer instead of one per column block.

    Target: a mix of the pruned and the dense model's inputs, outputs weighed by the sensitivity of the dense loss.
    Allocation: unstructured, layers whose weights the loss is more sensitive to lose fewer.
    Mask: found jointly over the whole matrix by ADMM.
    Compensation: APT's optimum for that mask and that objective over the whole matrix, by conjugate gradients.
    """

    name: ClassVar[str] = "apt-joint"
    title: ClassVar[str] = "APT joint"
    source: ClassVar[str] = "this project; after arXiv 2410.15567 and 2406.07831"
    summary: ClassVar[str] = (
        "Chooses and moves all weights of a layer together, guided by the sensitivity of the dense model's loss: "
        "the most accurate here, and several times APT's time."
    )
    advice: ClassVar[str] = "most accurate"
    place: ClassVar[int] = 2

    allocation: Allocation = LossAllocation()
    target: Target = DenseModel()
    mask: Mask = ADMMMask(steps=25)
    reconstruction: Reconstruction = Joint(steps=10)
