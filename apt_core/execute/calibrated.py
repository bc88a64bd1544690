"""A model beside the text that its layers' statistics come from: what pruning and an allocation work with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from apt_core.base.limits import windows_per_batch
from apt_core.events import Progress
from apt_core.execute.in_parts import InParts
from apt_core.families import Layer
from apt_core.jobs import Prune
from apt_core.measure.kept_sensitivity import KeptSensitivity
from apt_core.models.load.tensor_store import TensorStore
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.layer_walk import WalkName

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Calibrated(NamedTuple):
    """A model, and the text that its layers' statistics come from.

    layers: of all blocks. windows: [windows, length] token ids on the device where tokens enter.
    stored: the dtype of the checkpoint. scratch: where tensors wait. kept: what other runs of the study found of the
    same windows. parts: where the run may be left between two blocks.
    """

    job: Prune
    model: PreTrainedModel
    store: WeightStore
    layers: list[Layer]
    windows: Tensor
    stored: torch.dtype
    scratch: Callable[[str], TensorStore]
    walk: WalkName = "halting"
    kept: KeptSensitivity | None = None
    parts: InParts | None = None

    @property
    def batch(self) -> int:
        """Windows that pass a block together."""
        return windows_per_batch(*self.windows.shape)

    def progress(self, detail: str) -> Progress:
        """Before the first block is pruned."""
        return Progress(stage="calibrate", done=0, total=len(self.store.blocks), detail=detail)
