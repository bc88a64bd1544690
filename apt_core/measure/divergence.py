"""How far two models' next-token distributions are apart on the same windows: KL and agreement.

    KL(dense || pruned) = sum over tokens t of p_dense(t) (ln p_dense(t) - ln p_pruned(t)), in nats,

averaged over the positions whose loss perplexity counts; agreement is the share of them at which both models find the
same token most likely. Pruning changes decoder blocks alone, so one head answers for both: what leaves the last block
of each is kept, and logits exist for a few positions at a time.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from apt_core.base.limits import windows_per_batch
from apt_core.events import Diverged
from apt_core.maths.next_tokens import apart
from apt_core.measure.interval import mean_interval
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.evaluation import LastStates
from apt_core.passes.runner import Propagation, Runner

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class WindowDivergence(NamedTuple):
    """Means over the positions of one window."""

    kl: float
    agreement: float


@torch.no_grad()
def fill_states(
    model: PreTrainedModel, windows: Tensor, store: WeightStore, last: LastStates
) -> Iterator[int]:
    """Take the first windows through the blocks where no evaluation has done it; yields the block that was left."""
    windows = windows[: last.windows].to(next(model.parameters()).device)
    batch = windows_per_batch(*windows.shape)
    with EmbeddingAndHead.of(model, store).skip_blocks():
        entering = Entering.of(model, store.blocks, windows, batch)
    passing, per_block = Propagation(entering.states, batch), -(-len(windows) // batch)
    for step, _ in enumerate(Runner(store, entering).run(passing)):
        yield step // per_block
    last.keep(passing.states)


@torch.no_grad()
def window_divergences(
    model: PreTrainedModel, store: WeightStore, windows: Tensor, dense: Tensor, pruned: Tensor
) -> Iterator[WindowDivergence]:
    """windows: [windows, length] token ids; dense, pruned: [windows, length, hidden], what leaves the last block."""
    head = EmbeddingAndHead.of(model, store)
    device = next(model.parameters()).device
    for window, *states in zip(windows.to(device), dense, pruned, strict=True):
        kl, same, positions = 0.0, 0, len(window) - 1
        for part in head.parts(positions):
            ours, theirs = (head.logits(window[None, part], one[None, part].to(device))[0] for one in states)
            found = apart(ours, theirs)
            kl, same = kl + found.kl, same + found.same
        yield WindowDivergence(kl / positions, same / positions)


def diverged(found: list[WindowDivergence], text: str, length: int) -> Diverged:
    """The event of all windows. A KL is never below 0 and a share never above 1, so their intervals end there."""
    kl_low, kl_high = mean_interval([one.kl for one in found])
    low, high = mean_interval([one.agreement for one in found])
    return Diverged(
        text=text,
        windows=len(found),
        length=length,
        tokens=len(found) * (length - 1),
        kl=max(0.0, statistics.fmean(one.kl for one in found)),
        kl_low=None if kl_low is None else max(0.0, kl_low),
        kl_high=None if kl_high is None else max(0.0, kl_high),
        agreement=statistics.fmean(one.agreement for one in found),
        agreement_low=None if low is None else max(0.0, low),
        agreement_high=None if high is None else min(1.0, high),
    )
