"""Perplexity by the field's protocol, and speed and size as measured. The protocol is part of the result.

Protocol `joined-v1`: the whole text is tokenised at once with the tokenizer's defaults, cut into
non-overlapping windows of `length` tokens from the start, the tail dropped; each window predicts its own
tokens 2..length; perplexity = exp(mean negative log-likelihood over all predicted tokens), log-softmax in
float32. (The loader of Wanda and SparseGPT does the same.) Values at different lengths do not compare.

Protocol `joined-bos-v1`, for families that are lost without it (Gemma): the same, but each window is the
tokenizer's first token and `length` - 1 tokens of the text.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Generator, Iterator
from time import perf_counter

import torch
from torch import Tensor, nn

from apt_core import families
from apt_core.base.errors import RunFailed
from apt_core.events import Evaluated, Progress, Subject
from apt_core.measure.decoding import Decoder
from apt_core.measure.interval import perplexity_interval
from apt_core.models.load.weights import InMemory, Weights
from apt_core.passes.embedding_and_head import Bypass
from apt_core.passes.halting import HiddenStates

PROTOCOL = "joined-v1"
PROTOCOL_WITH_OPENING = "joined-bos-v1"
_WARM_UP = 4
_TOKENS_PER_BATCH = 4096  # through one block at a time


@torch.no_grad()
def perplexity_events(
    model: nn.Module, windows: Tensor, subject: Subject, text: str, on_disk: Weights | None = None
) -> Generator[Progress, None, Evaluated]:
    """Yield Progress per batch and return the Evaluated event. windows: [n, length] token ids.

    on_disk: where the blocks' weights are when they are not in the model.
    """
    start = perf_counter()
    windows = windows.to(next(model.parameters()).device)
    steps = _by_block(model, windows, on_disk or InMemory(families.decoder_blocks(model)))
    length = windows.shape[1]
    losses: list[float] = []  # of each window, in their order
    for done, of, what, lost in steps:
        if lost is not None:
            losses.append(lost / (length - 1))
        yield Progress(stage="evaluate", subject=subject, done=done, total=of, detail=what)
    mean = statistics.fmean(losses)
    if not math.isfinite(mean):
        raise RunFailed(
            "The model's predictions are not numbers any more; use more dampening or less sparsity."
        )
    low, high = perplexity_interval(losses)
    return Evaluated(
        subject=subject,
        perplexity=math.exp(min(mean, 700.0)),
        low=low,
        high=high,
        losses=tuple(losses),
        windows=len(windows),
        length=length,
        tokens=len(windows) * (length - 1),  # that were predicted
        text=text,
        protocol=protocol_of(model),
        seconds=perf_counter() - start,
    )


def protocol_of(model: nn.Module) -> str:
    """How this model's windows begin."""
    return PROTOCOL_WITH_OPENING if families.opens_with_bos(model.config) else PROTOCOL


# (done, of how many, of what, the summed negative log-likelihood of a window that is done)
Steps = Iterator[tuple[int, int, str, float | None]]


@torch.no_grad()
def _by_block(model: nn.Module, windows: Tensor, weights: Weights) -> Steps:
    """All windows through one block after the other, then the head a few positions at a time.

    What the whole model's forward would give, with a fraction of its logits in memory.
    """
    bypass = Bypass.of(model, weights)
    batch = max(1, _TOKENS_PER_BATCH // windows.shape[1])
    with bypass.stepped_over():
        hidden = HiddenStates.at_first_block(model, weights.blocks, windows, batch)
    for index in range(len(weights.blocks)):
        with weights.block(index) as block:
            for _ in hidden.straight_through(block, index):
                yield index, len(weights.blocks), "blocks", None
    for number, window in enumerate(windows):
        lost = 0.0
        for part in bypass.parts(len(window) - 1):
            logits = bypass.logits(window[None, part], hidden.states[number : number + 1, part])[0]
            targets = window[1:][part].to(logits.device)
            lost += float(nn.functional.cross_entropy(logits.float(), targets, reduction="sum"))
        yield len(weights.blocks), len(weights.blocks), "blocks", lost


def decoding_speed(model: nn.Module, seconds: float = 1.0, most: int = 64) -> float:
    """Greedy tokens per second with cache, batch 1: one over the median time of a token.

    The first tokens warm the caches up and do not count; the median forgives a moment in which the machine
    did something else. Stops after `most` tokens or `seconds`.
    """
    decoder = Decoder(model)
    token = decoder.next_logits(torch.full((16,), 5)).argmax(keepdim=True)
    spent: list[float] = []
    begun = perf_counter()
    while len(spent) < _WARM_UP + 1 or (len(spent) < most and perf_counter() - begun < seconds):
        _synchronise(decoder.device)
        start = perf_counter()
        token = decoder.next_logits(token).argmax(keepdim=True)
        _synchronise(decoder.device)
        spent.append(perf_counter() - start)
    return 1 / statistics.median(spent[_WARM_UP:])


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
