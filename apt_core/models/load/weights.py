"""Where the weights of the decoder blocks are while a model is computed: all in memory, or one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch
from torch import nn


class Weights(Protocol):
    blocks: nn.ModuleList

    def block(self, index: int) -> AbstractContextManager[nn.Module]:
        """The block, with its weights in memory for as long as the context lasts."""

    def rest_away(self) -> AbstractContextManager[None]:
        """Inside, only blocks are asked for: the embedding and the head need not be in memory."""


def device_of(block: nn.Module) -> torch.device:
    """Where a block's weights are, and so where it is computed."""
    return next(block.parameters()).device


class InMemory:
    """Every block keeps its weights. (`models.lazy.BlocksOnDisk` is the other one.)"""

    def __init__(self, blocks: nn.ModuleList):
        self.blocks = blocks

    @contextmanager
    def block(self, index: int) -> Iterator[nn.Module]:
        yield self.blocks[index]

    def rest_away(self) -> AbstractContextManager[None]:
        return nullcontext()
