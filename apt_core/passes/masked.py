"""The perplexity of a smaller model inside the dense one: what would go is multiplied by zero, and nothing is written.

Where the columns of an output projection read zeros, the rows that feed them might as well be gone; a block that goes
is left out of the walk. `passes.reformed` has the same with output projections that make up for what goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.evaluation import window_loss
from apt_core.passes.runner import OpenBlock, Propagation, Runner

_MOST = 700.0  # exp of more overflows


class Masked(NamedTuple):
    """blocks: those that stay, in order. columns: (block, layer) -> [in], 1 where an input is read, 0 where not."""

    blocks: tuple[int, ...]
    columns: Mapping[tuple[int, str], Tensor]


Cutting = Callable[[OpenBlock], AbstractContextManager[None]]  # a context in which a block is a candidate's


def masking(candidate: Masked) -> Cutting:
    """Blocks whose output projections read nothing of what goes."""
    return lambda block: _reading(block, candidate.columns)


class Judge:
    """Measures candidates on the same windows [windows, length], which are embedded once.

    cutting: what makes the blocks of the dense model those of a candidate while they are called.
    """

    def __init__(
        self,
        model: Any,
        store: WeightStore,
        windows: Tensor,
        entering: Entering,
        batch: int,
        cutting: Callable[[Masked], Cutting] = masking,
    ):
        self._store, self._windows, self._entering, self._batch = store, windows, entering, batch
        self._head, self._cutting = EmbeddingAndHead.of(model, store), cutting

    @torch.no_grad()
    def perplexity(self, candidate: Masked) -> Generator[None, None, float]:
        """inf where there is none. Yields after every few windows of a block, and every window of the head."""
        passing = Propagation(self._entering.states.clone(), self._batch, self._cutting(candidate))
        yield from Runner(self._store, self._entering).run(passing, candidate.blocks)
        lost = 0.0
        for number, window in enumerate(self._windows):
            lost += window_loss(self._head, window, passing.states[number : number + 1])
            yield None
        mean = lost / (len(self._windows) * (self._windows.shape[1] - 1))
        return math.exp(mean) if math.isfinite(mean) and mean < _MOST else math.inf


@contextmanager
def _reading(block: OpenBlock, columns: Mapping[tuple[int, str], Tensor]) -> Iterator[None]:
    """Inside, layers of the block read what `columns` lets through."""
    with ExitStack() as hooks:
        for (index, name), read in columns.items():
            if index == block.index:
                hook = block.module.get_submodule(name).register_forward_pre_hook(_multiplying(read))
                hooks.callback(hook.remove)
        yield


def _multiplying(read: Tensor) -> Any:
    def multiply(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0] * read.to(inputs[0]), *inputs[1:])

    return multiply
