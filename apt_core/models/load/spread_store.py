"""Weights over several devices, each where accelerate's device map put it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apt_core.models.load.placement import spread_sentence
from apt_core.models.load.weight_store import MemoryStore

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class SpreadStore(MemoryStore):
    """A model dispatched by accelerate: its hooks move what passes from one device to the next."""

    def __init__(self, model: PreTrainedModel):
        super().__init__(model)
        self.notice = spread_sentence(model)
