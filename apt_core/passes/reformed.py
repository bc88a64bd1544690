"""Candidates of a search as they are once compensated, inside the dense model (the reformation of arXiv 2409.17372).

The closed form needs (G + lambda I)^-1 of what each output projection reads. It is that of the dense model, taken once,
so that a candidate costs one solve as large as what goes for each projection; what is made at the end is compensated
with the statistics of its own inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from apt_core.families import Layer
from apt_core.maths.hessian import LayerStats
from apt_core.maths.least_squares import without_columns_by
from apt_core.models.load.tensor_store import TensorStore
from apt_core.passes.masked import Cutting, Masked
from apt_core.passes.runner import OpenBlock, Propagation
from apt_core.passes.statistics import InputStatistics

Invert = Callable[[Layer, LayerStats], Tensor]


class InverseGrams:
    """A visitor that keeps the inverse Gram matrix of what `layers` read in the dense model, block by block."""

    def __init__(
        self, states: Tensor, batch: int, layers: Sequence[Layer], invert: Invert, kept: TensorStore
    ):
        self._stream = Propagation(states, batch)
        self._layers, self._invert, self._kept = layers, invert, kept

    def to(self, device: torch.device) -> None:
        self._stream.to(device)

    @torch.no_grad()
    def visit(self, block: OpenBlock) -> Generator[None, None, None]:
        layers = {layer.name: layer for layer in self._layers if layer.block == block.index}
        statistics = InputStatistics[str]()
        with statistics.adding({name: layer.module for name, layer in layers.items()}):
            yield from self._stream.visit(block)
        self._kept[block.index] = {
            name: self._invert(layers[name], stats) for name, stats in statistics.stats.items()
        }


def reforming(layers: Sequence[Layer], inverses: TensorStore) -> Callable[[Masked], Cutting]:
    """For `Judge`: the output projections `layers` make up for the columns that they lose."""
    return lambda candidate: _Reformed(layers, inverses, candidate.columns)


class _Reformed:
    """The blocks of one candidate; the weights of a block are solved once for all windows."""

    def __init__(
        self, layers: Sequence[Layer], inverses: TensorStore, columns: Mapping[tuple[int, str], Tensor]
    ):
        self._layers, self._inverses, self._columns = layers, inverses, columns
        self._index, self._solved = -1, list[tuple[Layer, Tensor]]()

    @contextmanager
    def __call__(self, block: OpenBlock) -> Iterator[None]:
        if block.index != self._index:
            self._index, self._solved = block.index, self._solve(block.index)
        with ExitStack() as replaced:
            for layer, weight in self._solved:
                replaced.enter_context(_instead(layer, weight))
            yield

    def _solve(self, index: int) -> list[tuple[Layer, Tensor]]:
        found, inverses = [], self._inverses[index]
        for layer in self._layers:
            read = self._columns.get((index, layer.name)) if layer.block == index else None
            if read is None or bool(read.all()):
                continue
            weight = layer.matrix.float()
            pruned = (read == 0).to(weight.device)
            found.append((layer, without_columns_by(weight, pruned, inverses[layer.name].to(weight.device))))
        return found


@contextmanager
def _instead(layer: Layer, weight: Tensor) -> Iterator[None]:
    """Inside, the layer has this weight; afterwards its own, to the bit."""
    own = layer.matrix.clone()
    layer.write_(weight)
    try:
        yield
    finally:
        layer.write_(own)
