"""The one walk of windows through the blocks of a decoder: statistics, gradients, evaluation are visitors of it.

`Runner.run` opens the weights of one block after the other and brings everything that it is called with to its device;
the visitor decides what happens to its windows there. `OpenBlock` is the only place that calls a block.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from apt_core.base.clock import Clock
from apt_core.models.load.weight_store import WeightStore, device_of
from apt_core.passes.arguments import Arguments, on_device, with_embeddings
from apt_core.passes.entering import Entering

Said = TypeVar("Said")
Said_co = TypeVar("Said_co", covariant=True)


@dataclass(frozen=True)
class OpenBlock:
    """A block whose weights are in memory, with what it is called with beside the hidden states, on its device.

    embeddings: of all windows, [windows, length, hidden], where the block reads them again; None otherwise.
    """

    index: int
    module: nn.Module
    arguments: Arguments
    embeddings: Tensor | None

    def __call__(self, states: Tensor, part: slice) -> Tensor:
        """What leaves the block. states: [some windows, length, hidden]; part: which of all windows they are."""
        own = None if self.embeddings is None else self.embeddings[part]
        positional, named = with_embeddings(self.arguments, own)
        output = self.module(states, *positional, **named)
        leaving: Tensor = output[0] if isinstance(output, tuple) else output
        return leaving


class Visitor(Protocol[Said_co]):
    """What happens to the windows in each block."""

    def to(self, device: torch.device) -> None:
        """Bring the hidden states that the visitor holds to the device of the next block."""

    def visit(self, block: OpenBlock) -> Generator[Said_co, None, None]:
        """Take the windows through the block, a few at a time; yields at least after each few."""


class Runner:
    """Walks visitors through the blocks of `store` with what the decoder hands to each block."""

    def __init__(self, store: WeightStore, entering: Entering):
        self._store = store
        self._arguments = entering.arguments
        self._embeddings = entering.embeddings

    def run(self, visitor: Visitor[Said], blocks: Iterable[int] | None = None) -> Iterator[Said]:
        """blocks: their numbers in the order of the visit; all, first to last, when None."""
        for index in range(len(self._store.blocks)) if blocks is None else blocks:
            with (
                self._store.block(index) as module,
                closing(visitor.visit(self._at(index, module, visitor))) as steps,
            ):
                yield from steps

    def _at(self, index: int, module: nn.Module, visitor: Visitor[Any]) -> OpenBlock:
        device = device_of(module)
        visitor.to(device)
        self._embeddings = None if self._embeddings is None else self._embeddings.to(device)
        return OpenBlock(index, module, on_device(self._arguments[index], device), self._embeddings)


class Propagation:
    """All windows straight through each block.

    states: [windows, length, hidden], overwritten by what leaves the block. around: a context in which a block is
    called, such as one of hooks.
    """

    def __init__(
        self,
        states: Tensor,
        batch: int,
        around: Callable[[OpenBlock], AbstractContextManager[Any]] = nullcontext,
    ):
        self.states = states
        self._batch = batch
        self._around = around

    def to(self, device: torch.device) -> None:
        self.states = self.states.to(device)

    @torch.no_grad()
    def visit(self, block: OpenBlock) -> Generator[None, None, None]:
        for part in slices(len(self.states), self._batch):
            with self._around(block):
                self.states[part] = block(self.states[part], part)
            yield None


class Together:
    """Several streams of the same windows through each block, which is opened once for all of them."""

    def __init__(self, streams: Iterable[Propagation]):
        self._streams = list(streams)

    def to(self, device: torch.device) -> None:
        for stream in self._streams:
            stream.to(device)

    def visit(self, block: OpenBlock) -> Generator[None, None, None]:
        for stream in self._streams:
            yield from stream.visit(block)


def slices(windows: int, batch: int) -> list[slice]:
    """The windows in groups of `batch`, the last one smaller where it must be."""
    return [slice(start, min(start + batch, windows)) for start in range(0, windows, batch)]


def timed(steps: Generator[Said, None, Any], clock: Clock, stage: str) -> Generator[Said, None, Any]:
    """The same steps and their result, the time they take added to a stage of the clock."""
    with closing(steps):
        while True:
            try:
                with clock(stage):
                    step = next(steps)
            except StopIteration as end:
                return end.value
            yield step
