"""The negative log-likelihood of windows: all of them through one block after the other, then the head.

What the whole model's forward would give, with a fraction of its logits in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from apt_core.base.limits import windows_per_batch
from apt_core.maths.next_tokens import negative_log_likelihood
from apt_core.models.load.weight_store import MemoryStore, WeightStore
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.runner import Propagation, Runner

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LossStep(NamedTuple):
    """A few windows through a block, or one window through the head, the windows in their order.

    done, total: blocks. loss: of a window that is done, the sum of -log p over its tokens 2..length, log-softmax in
    float32; None before.
    """

    done: int
    total: int
    loss: float | None = None


class LastStates:
    """What leaves the last block, of the first so many windows: [windows, length, hidden] on the CPU once known."""

    def __init__(self, windows: int):
        self.windows = windows
        self.states: Tensor | None = None

    def keep(self, states: Tensor) -> None:
        self.states = states[: self.windows].to("cpu", copy=True)


@torch.no_grad()
def window_losses(
    model: PreTrainedModel,
    windows: Tensor,
    store: WeightStore | None = None,
    last: LastStates | None = None,
) -> Iterator[LossStep]:
    """windows: [windows, length] token ids on the model's device. store: every weight is in the model when None.

    last: keeps what leaves the last block, for a comparison.
    """
    store = store or MemoryStore(model)
    blocks = len(store.blocks)
    head = EmbeddingAndHead.of(model, store)
    batch = windows_per_batch(*windows.shape)
    with head.skip_blocks():
        entering = Entering.of(model, store.blocks, windows, batch)
    passing, per_block = Propagation(entering.states, batch), -(-len(windows) // batch)
    for step, _ in enumerate(Runner(store, entering).run(passing)):
        yield LossStep(step // per_block, blocks)
    if last is not None:
        last.keep(passing.states)
    for number, window in enumerate(windows):
        yield LossStep(blocks, blocks, window_loss(head, window, passing.states[number : number + 1]))


@torch.no_grad()
def window_loss(head: EmbeddingAndHead, window: Tensor, leaving: Tensor) -> float:
    """The sum of -log p over a window's tokens 2..length, log-softmax in float32.

    window: [length] token ids. leaving: [1, length, hidden], its states behind the last block.
    """
    loss = 0.0
    for part in head.parts(len(window) - 1):
        logits = head.logits(window[None, part], leaving[:, part])[0]
        targets = window[1:][part].to(logits.device)
        loss += negative_log_likelihood(logits, targets)
    return loss
