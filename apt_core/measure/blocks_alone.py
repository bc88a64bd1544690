"""What each block costs when it alone is pruned: the loss of the dense model with one pruned block in it.

What leaves pruned block b goes on through the dense blocks behind it. The streams of several b walk together, so that
each block's weights are opened once for all of them; how many at a time goes by the memory of their hidden states.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from apt_core.base.errors import RunFailed
from apt_core.base.limits import windows_per_batch
from apt_core.measure.depth import Side
from apt_core.measure.depth_values import BlocksAlone
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.evaluation import window_loss, window_losses
from apt_core.passes.runner import Propagation, Runner, Together

_STREAM_BYTES = 256_000_000  # of the hidden states that walk together


@torch.no_grad()
def blocks_alone(
    run: str, dense: Side, pruned: Side, windows: Tensor, text: str
) -> Generator[tuple[int, int], None, BlocksAlone]:
    """Yields (steps done, all of them). windows: [windows, length] token ids."""
    begun, count = perf_counter(), len(dense.store.blocks)
    windows = windows.to(next(dense.model.parameters()).device)
    head, losses, whole = EmbeddingAndHead.of(dense.model, dense.store), [], 0.0
    groups = _groups(dense, windows, count)
    for number, group in enumerate(groups):
        walking = _walk(dense, pruned, windows, head, group)
        found, whole = yield from _counted(walking, number * count, len(groups) * count)
        losses += found
    return BlocksAlone(
        run=run,
        text=text,
        windows=len(windows),
        length=windows.shape[1],
        dense=whole,
        pruned=_pruned_loss(pruned, windows),
        losses=tuple(losses),
        seconds=perf_counter() - begun,
    )


def _groups(dense: Side, windows: Tensor, count: int) -> list[range]:
    """Blocks whose streams walk together."""
    hidden = dense.model.config.get_text_config().hidden_size
    most = max(1, _STREAM_BYTES // (4 * windows.numel() * hidden))
    return [range(start, min(start + most, count)) for start in range(0, count, most)]


def _walk(
    dense: Side, pruned: Side, windows: Tensor, head: EmbeddingAndHead, group: range
) -> Generator[int, None, tuple[list[float], float]]:
    """(the loss with each block of the group pruned alone, that of the dense model); yields each block's number.

    The dense stream ends with the group, so that only the last one knows the dense loss; 0 of the others.
    """
    batch = windows_per_batch(*windows.shape)
    with head.skip_blocks():
        entering = Entering.of(dense.model, dense.store.blocks, windows, batch)
    through_dense, through_pruned = Runner(dense.store, entering), Runner(pruned.store, entering)
    stream, alone = Propagation(entering.states, batch), list[Propagation]()
    for index in range(len(dense.store.blocks)):
        yield index
        began = [Propagation(stream.states.clone(), batch)] if index in group else []
        _exhaust(through_pruned.run(Together(began), [index] if began else []))
        others = [stream] if index < group.stop else []
        _exhaust(through_dense.run(Together([*others, *alone]), [index]))
        alone += began
    last = group.stop == len(dense.store.blocks)
    whole = _loss(head, windows, stream.states) if last else 0.0
    return [_loss(head, windows, one.states) for one in alone], whole


def _counted(
    steps: Generator[int, None, Any], done: int, total: int
) -> Generator[tuple[int, int], None, Any]:
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        yield done + step, total


def _exhaust(steps: Iterable[Any]) -> None:
    for _ in steps:
        pass


def _loss(head: EmbeddingAndHead, windows: Tensor, states: Tensor) -> float:
    """Mean negative log-likelihood of a predicted token."""
    lost = sum(window_loss(head, window, states[n : n + 1]) for n, window in enumerate(windows))
    return _finite(lost / (len(windows) * (windows.shape[1] - 1)))


def _pruned_loss(pruned: Side, windows: Tensor) -> float:
    windows = windows.to(next(pruned.model.parameters()).device)
    steps = window_losses(pruned.model, windows, pruned.store)
    lost = sum(step.loss for step in steps if step.loss is not None)
    return _finite(lost / (len(windows) * (windows.shape[1] - 1)))


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise RunFailed(
            "The model's predictions are not numbers any more; prune again with more dampening or less sparsity."
        )
    return loss
