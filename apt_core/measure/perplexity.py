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
from collections.abc import Generator
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from apt_core import families
from apt_core.base import hardware
from apt_core.base.errors import NotNumbers
from apt_core.events import Evaluated, Progress, Subject
from apt_core.measure.decoding import Decoder
from apt_core.measure.interval import perplexity_interval
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.evaluation import LastStates, window_losses

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROTOCOL = "joined-v1"
PROTOCOL_WITH_OPENING = "joined-bos-v1"
_WARM_UP = 4


@torch.no_grad()
def perplexity_events(
    model: PreTrainedModel,
    windows: Tensor,
    subject: Subject,
    text: str,
    store: WeightStore | None = None,
    last: LastStates | None = None,
) -> Generator[Progress, None, Evaluated]:
    """Yield Progress per batch and return the Evaluated event. windows: [n, length] token ids.

    store: where the blocks' weights are when they are not in the model. last: keeps what leaves the last block.
    """
    start = perf_counter()
    windows = windows.to(next(model.parameters()).device)
    length = windows.shape[1]
    losses: list[float] = []  # of each window, in their order
    for step in window_losses(model, windows, store, last):
        if step.loss is not None:
            losses.append(step.loss / (length - 1))
        yield Progress(stage="evaluate", subject=subject, done=step.done, total=step.total, detail="blocks")
    mean = statistics.fmean(losses)
    if not math.isfinite(mean):
        raise NotNumbers(
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


def protocol_of(model: PreTrainedModel) -> str:
    """How this model's windows begin."""
    return PROTOCOL_WITH_OPENING if families.opens_with_bos(cast(Any, model.config)) else PROTOCOL


def decoding_speed(model: PreTrainedModel, seconds: float = 1.0, most: int = 64) -> float:
    """Greedy tokens per second with cache, batch 1: one over the median time of a token.

    The first tokens warm the caches up and do not count; the median forgives a moment in which the machine
    did something else. Stops after `most` tokens or `seconds`.
    """
    decoder = Decoder(model)
    token = decoder.next_logits(torch.full((16,), 5)).argmax(keepdim=True)
    spent: list[float] = []
    begun = perf_counter()
    while len(spent) < _WARM_UP + 1 or (len(spent) < most and perf_counter() - begun < seconds):
        hardware.wait_for(decoder.device)
        start = perf_counter()
        token = decoder.next_logits(token).argmax(keepdim=True)
        hardware.wait_for(decoder.device)
        spent.append(perf_counter() - start)
    return 1 / statistics.median(spent[_WARM_UP:])
