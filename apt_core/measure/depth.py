"""How a pruned model diverges from the dense one: both process the same windows block by block, in step.

Of each model one block's weights and the hidden states of a few windows are held at a time.
"""

from __future__ import annotations

from collections.abc import Generator
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from apt_core.base.limits import windows_per_batch
from apt_core.measure.depth_values import LENS_POSITIONS, AfterBlock, Depth
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.runner import Propagation, Runner

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Side(NamedTuple):
    """One of the two models."""

    model: PreTrainedModel
    store: WeightStore


class _Walk:
    """A model's windows on their way through its blocks."""

    def __init__(self, side: Side, windows: Tensor, batch: int):
        windows = windows.to(next(side.model.parameters()).device)
        self.head = EmbeddingAndHead.of(side.model, side.store)
        with self.head.skip_blocks():
            entering = Entering.of(side.model, side.store.blocks, windows, batch)
        self._passing = Propagation(entering.states, batch)
        self._steps = Runner(side.store, entering).run(self._passing)
        self._batches = -(-len(windows) // batch)
        self._windows = windows

    def through_a_block(self) -> None:
        for _ in range(self._batches):
            next(self._steps)

    @property
    def states(self) -> Tensor:
        return self._passing.states

    def log_probabilities(self, number: int, places: Tensor) -> Tensor:
        """Of the next token, by the model's own head, at these places of a window: [places, vocabulary] float32."""
        leaving = self.states[number : number + 1, places.to(self.states.device)]
        logits = self.head.logits(
            self._windows[number : number + 1, places.to(self._windows.device)], leaving
        )
        return logits[0].float().log_softmax(dim=-1)

    def close(self) -> None:
        self._steps.close()  # type: ignore[attr-defined]  # it is a generator


@torch.no_grad()
def depth(run: str, dense: Side, pruned: Side, windows: Tensor, text: str) -> Generator[int, None, Depth]:
    """Yields how many blocks are done. windows: [windows, length] token ids."""
    begun = perf_counter()
    batch = windows_per_batch(*windows.shape)
    walks = _Walk(dense, windows, batch), _Walk(pruned, windows, batch)
    places = _places(*windows.shape)
    found: list[AfterBlock] = []
    try:
        for index in range(len(dense.store.blocks)):
            yield index
            for walk in walks:
                walk.through_a_block()
            divergence, agreement = _lens(*walks, places)
            found.append(_after(index, walks[0].states, walks[1].states, divergence))
    finally:
        for walk in walks:
            walk.close()
    return Depth(
        run=run,
        text=text,
        windows=len(windows),
        length=windows.shape[1],
        positions=len(places) * len(windows),
        blocks=tuple(found),
        top1=agreement,
        seconds=perf_counter() - begun,
    )


def _places(windows: int, length: int) -> Tensor:
    """Evenly spread over a window, the last position among them."""
    count = max(1, min(length, LENS_POSITIONS // windows))
    return torch.linspace(length / count - 1, length - 1, count).round().long().clamp_min(0)


def _lens(dense: _Walk, pruned: _Walk, places: Tensor) -> tuple[float, float]:
    """(mean KL(dense || pruned), share of positions with the same most likely token)."""
    divergences, same = [], []
    for number in range(len(dense.states)):
        for part in dense.head.parts(len(places)):
            one = dense.log_probabilities(number, places[part])
            other = pruned.log_probabilities(number, places[part]).to(one.device)
            divergences.append((one.exp() * (one - other)).sum(dim=-1).double())
            same.append((one.argmax(dim=-1) == other.argmax(dim=-1)).double())
    return max(float(torch.cat(divergences).mean()), 0.0), float(torch.cat(same).mean())


def _after(block: int, dense: Tensor, pruned: Tensor, divergence: float) -> AfterBlock:
    one = dense.float().reshape(-1, dense.shape[-1])
    other = pruned.to(dense.device).float().reshape(one.shape)
    gaps, sizes = (other - one).square().sum(dim=1).double(), one.square().sum(dim=1).double()
    return AfterBlock(
        block=block,
        relative_error=float(gaps.sum() / sizes.sum().clamp_min(1e-30)),
        median_error=float((gaps / sizes.clamp_min(1e-30)).median()),
        cosine=float(torch.nn.functional.cosine_similarity(one, other, dim=1).double().mean()),
        divergence=divergence,
    )
