"""The walk of the calibration windows through the blocks that are pruned; stops before each layer to have it pruned.

    Halting   every forward pass stops in front of each layer: a block is computed once   (`halting`)
    TwoPass   one pass through the dense block, one through the pruned: less is held      (`two_pass`)

Both are visitors of the one walk, and whoever prunes does not know which one it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import closing
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from apt_core.base.clock import Clock
from apt_core.families import Layer
from apt_core.maths.hessian import LayerStats
from apt_core.methods import LayerKey
from apt_core.passes.gradients import OutputSensitivity
from apt_core.passes.runner import OpenBlock

WalkName = Literal["halting", "two-pass"]


class Arrival(NamedTuple):
    """Every window has been counted in front of this layer; its weight may now be changed."""

    layer: Layer
    stats: LayerStats


class LayerWalk(ABC):
    """Takes all windows through a block, and hands over each of its layers with the statistics of its inputs.

    states: [windows, length, hidden], what enters the current block in the pruned model; overwritten in place.
    dense: the same in the dense model, when a method compares with it; None otherwise.
    layers: of all blocks. sensitivity: of the dense model's loss, when a method weighs outputs by it.
    later_uses: of weights that several blocks share, the statistics of their later uses.
    """

    name: ClassVar[WalkName]
    notice: ClassVar[str | None] = None  # what a user should know of results by this walk

    def __init__(
        self,
        states: Tensor,
        batch: int,
        layers: list[Layer],
        clock: Clock,
        *,
        compare: bool = False,
        sensitivity: OutputSensitivity | None = None,
        later_uses: dict[LayerKey, LayerStats] | None = None,
    ):
        self.states = states
        self.dense = states.clone() if compare else None
        self._batch = batch
        self._layers = layers
        self._clock = clock
        self._sensitivity = sensitivity
        self._later_uses = later_uses or {}

    def to(self, device: torch.device) -> None:
        self.states = self.states.to(device)
        self.dense = None if self.dense is None else self.dense.to(device)

    def visit(self, block: OpenBlock) -> Generator[Arrival | None, None, None]:
        """Yields each layer that any window reaches, to be pruned at once; None at least once per batch."""
        layers = [layer for layer in self._layers if layer.block == block.index]
        sensitive = {} if self._sensitivity is None else self._sensitivity.take(block.index)
        with closing(self._arrivals(block, layers)) as arrivals:
            for arrival in arrivals:
                if arrival is not None and (metric := sensitive.pop(arrival.layer.name, None)):
                    arrival = arrival._replace(stats=arrival.stats.with_sensitivity(metric))
                yield arrival

    @abstractmethod
    def _arrivals(self, block: OpenBlock, layers: list[Layer]) -> Generator[Arrival | None, None, None]:
        """The same without what the loss says of a layer's outputs."""

    def _include_later_uses(self, layer: Layer, stats: LayerStats) -> None:
        if later := self._later_uses.pop((layer.block, layer.name), None):
            stats.include_(later)
