"""A walk of two passes through each block: one counts the inputs of all its layers, one goes through the pruned block.

As SparseGPT's published code does it (arXiv 2301.00774): what enters a block comes from pruned blocks, but inside it
every layer is counted with the block's weights as they were. In memory beside the model: the hidden states, the Gram
matrices of one block, and the activations of one batch, where paused passes hold those of all batches.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from time import perf_counter
from typing import ClassVar

import torch

from apt_core.families import Layer, module_proxies
from apt_core.maths.hessian import LayerStats
from apt_core.passes.layer_walk import Arrival, LayerWalk, WalkName
from apt_core.passes.runner import OpenBlock, slices
from apt_core.passes.statistics import InputStatistics


class TwoPass(LayerWalk):
    """The dense stream needs no copy of the block: it goes through before anything is pruned."""

    name: ClassVar[WalkName] = "two-pass"
    notice: ClassVar[str | None] = (
        "Blocks are walked twice to save memory: the layers of a block are pruned with the inputs that they had before "
        "any of them was, and their errors are measured on those."
    )

    @torch.no_grad()
    def _arrivals(self, block: OpenBlock, layers: list[Layer]) -> Generator[Arrival | None, None, None]:
        counted: InputStatistics[str] = InputStatistics(compare=self.dense is not None)
        yield from self._count(block, layers, counted)
        reached = [layer for layer in layers if layer.name in counted.stats]
        met: set[int] = set()  # statistics that an earlier layer shares
        stats: LayerStats | None = None
        for layer in reached:
            stats = counted.stats.pop(layer.name)
            if id(stats) not in met:
                self._include_later_uses(layer, stats)
            met.add(id(stats))
            yield Arrival(layer, stats)
        stats = None  # free while the pruned block is computed
        for part in slices(len(self.states), self._batch):
            with self._clock("forward"):
                self.states[part] = block(self.states[part], part)
            yield None

    def _count(self, block: OpenBlock, layers: list[Layer], counted: InputStatistics[str]) -> Iterator[None]:
        """The first pass: the pruned model's states stay in front of the block, the dense model's go through."""
        proxies = module_proxies(layers)
        modules = {layer.name: layer.module for layer in layers}
        compared = {layer.name: layer.module for layer in layers if not layer.routed}  # routers may differ
        try:
            for part in slices(len(self.states), self._batch):
                start, in_hooks = perf_counter(), counted.seconds
                with counted.adding(modules):
                    block(self.states[part], part)
                if self.dense is not None:
                    with counted.comparing(compared):
                        self.dense[part] = block(self.dense[part], part)
                self._add_seconds(perf_counter() - start, counted.seconds - in_hooks)
                yield None
        finally:
            for proxy in proxies:
                proxy.remove()

    def _add_seconds(self, spent: float, in_hooks: float) -> None:
        seconds = self._clock.seconds
        seconds["forward"] = seconds.get("forward", 0.0) + spent - in_hooks
        seconds["statistics"] = seconds.get("statistics", 0.0) + in_hooks
