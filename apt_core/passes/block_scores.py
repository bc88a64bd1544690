"""What each block of the dense model does: how far it turns hidden states, and what the loss is without it."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.evaluation import window_loss
from apt_core.passes.runner import OpenBlock, Propagation, Runner, Together, slices

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_STREAM_BYTES = 256_000_000  # of the hidden states that walk together


def block_influences(
    store: WeightStore, entering: Entering, batch: int
) -> Generator[None, None, list[float]]:
    """1 - mean over tokens of the cosine between what enters and what leaves each block (arXiv 2403.03853).

    Yields after every batch of windows. `entering` is left as it is.
    """
    look = _Influence(entering.states.clone(), batch)
    yield from Runner(store, entering).run(look)
    return look.found


class _Influence:
    """A visitor; states: [windows, length, hidden]."""

    def __init__(self, states: Tensor, batch: int):
        self.found: list[float] = []
        self._states = states
        self._batch = batch

    def to(self, device: torch.device) -> None:
        self._states = self._states.to(device)

    @torch.no_grad()
    def visit(self, block: OpenBlock) -> Generator[None, None, None]:
        cosines = 0.0
        for part in slices(len(self._states), self._batch):
            entered = self._states[part]
            leaving = block(entered, part)
            cosines += float(
                functional.cosine_similarity(entered.float(), leaving.float(), dim=-1).double().sum()
            )
            self._states[part] = leaving
            yield None
        self.found.append(1 - cosines / self._states[..., 0].numel())


@torch.no_grad()
def perplexities_without(
    model: PreTrainedModel, store: WeightStore, windows: Tensor, entering: Entering, batch: int
) -> Generator[None, None, list[float]]:
    """Perplexity of the dense model on `windows` [windows, length] with one block left out, for each block.

    The streams of several left-out blocks walk together, as many as their hidden states leave room for; yields after
    every block of each such walk.
    """
    count, found = len(store.blocks), list[float]()
    head = EmbeddingAndHead.of(model, store)
    most = max(1, _STREAM_BYTES // max(1, entering.states.nbytes))
    for start in range(0, count, most):
        group = range(start, min(start + most, count))
        streams = yield from _without(store, entering, batch, group)
        found += [_perplexity(head, windows, one.states) for one in streams]
    return found


def _without(
    store: WeightStore, entering: Entering, batch: int, group: range
) -> Generator[None, None, list[Propagation]]:
    """What leaves the last block when one block of the group is left out, for each of them."""
    runner = Runner(store, entering)
    whole, without = Propagation(entering.states.clone(), batch), list[Propagation]()
    for index in range(len(store.blocks)):
        left_out = [Propagation(whole.states.clone(), batch)] if index in group else []
        walking = [*([whole] if index < group.stop - 1 else []), *without]
        if walking:
            _exhaust(runner.run(Together(walking), [index]))
        without += left_out
        yield None
    return without


def _exhaust(steps: Iterable[Any]) -> None:
    for _ in steps:
        pass


def _perplexity(head: EmbeddingAndHead, windows: Tensor, states: Tensor) -> float:
    lost = sum(window_loss(head, window, states[n : n + 1]) for n, window in enumerate(windows))
    mean = lost / (len(windows) * (windows.shape[1] - 1))
    return math.exp(mean) if math.isfinite(mean) and mean < 700 else math.inf
