"""A model evaluated as if its prunable matrices were stored in a few bits: each block is rounded while it is open.

Files and the model stay as they are, whichever store holds the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from apt_core.events import Rounded
from apt_core.execute.opening import Opened
from apt_core.families import Layer, prunable_layers
from apt_core.jobs.parts import Rounding
from apt_core.maths.round_to_nearest import round_to_nearest, stored_bits
from apt_core.models.checkpoint.whole import stored_dtype
from apt_core.models.load.weight_store import WeightStore


class RoundedStore:
    """The blocks of another store, their prunable matrices rounded to nearest for as long as they are open."""

    def __init__(self, store: WeightStore, rounding: Rounding):
        self._store = store
        self._rounding = rounding

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def block(self, index: int) -> Iterator[nn.Module]:
        with self._store.block(index) as module:
            layers = prunable_layers(module, index)
            dense = [layer.matrix.clone() for layer in layers]
            for layer in layers:
                round_(layer, self._rounding)
            try:
                yield module
            finally:
                for layer, matrix in zip(layers, dense, strict=True):
                    layer.write_(matrix)


def round_(layer: Layer, rounding: Rounding) -> None:
    """Round a layer where it lies."""
    wanted = rounding.number, rounding.group, rounding.symmetric
    layer.write_(round_to_nearest(layer.matrix.float(), *wanted).to(layer.matrix.dtype))


@torch.no_grad()
def rounded_size(opened: Opened, rounding: Rounding) -> Iterator[Rounded | int]:
    """How much the model would take so rounded: the block that was counted, then the event.

    What is not rounded (embedding, norms, head) counts in the type of most of the files.
    """
    weights = bits = packed = 0
    wanted = rounding.number, rounding.group, rounding.symmetric
    for index in range(len(opened.store.blocks)):
        with opened.store.block(index):
            for layer in (layer for layer in opened.layers if layer.block == index):
                rows, width = layer.shape
                weights += rows * width
                bits += stored_bits(rows, width, *wanted)
                packed += stored_bits(rows, width, *wanted, kept=int(layer.matrix.count_nonzero()))
        yield index
    rest = sum(parameter.numel() for parameter in opened.model.parameters()) - weights
    beside = rest * (stored_dtype(opened.folder) or opened.model.dtype).itemsize
    yield Rounded(
        bits=rounding.number,
        group=rounding.group,
        scheme=rounding.scheme,
        weights=weights,
        bits_per_weight=bits / max(weights, 1),
        n_bytes=beside + -(-bits // 8),
        packed_bytes=beside + -(-packed // 8),
    )
