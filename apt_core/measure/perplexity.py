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
from collections.abc import Callable, Generator, Iterator
from time import perf_counter

import torch
from torch import Tensor, nn

from apt_core import families
from apt_core.base.errors import RunFailed
from apt_core.base.limits import windows_per_batch
from apt_core.events import Evaluated, Progress, Side
from apt_core.measure.decoding import Decoder
from apt_core.models.load.weights import InMemory, Weights
from apt_core.passes.embedding_and_head import Bypass
from apt_core.passes.halting import HiddenStates

PROTOCOL = "joined-v1"
PROTOCOL_WITH_OPENING = "joined-bos-v1"
_WARM_UP = 4


@torch.no_grad()
def perplexity_events(
    model: nn.Module, windows: Tensor, side: Side, text: str, on_disk: Weights | None = None
) -> Generator[Progress, None, Evaluated]:
    """Yield Progress per batch and return the Evaluated event. windows: [n, length] token ids.

    on_disk: where the blocks' weights are when they are not in the model.
    """
    start = perf_counter()
    windows = windows.to(next(model.parameters()).device)
    steps = _by_block(model, windows, on_disk or InMemory(families.decoder_blocks(model)))
    total = 0.0
    for done, of, what, lost in steps:
        total += lost
        yield Progress(stage=f"{side}_eval", done=done, total=of, detail=what)
    length = windows.shape[1]
    predicted = len(windows) * (length - 1)
    mean = total / predicted
    if not math.isfinite(mean):
        raise RunFailed(
            "The model's predictions are not numbers any more; use more dampening or less sparsity."
        )
    return Evaluated(
        side=side,
        perplexity=math.exp(min(mean, 700.0)),
        windows=len(windows),
        length=length,
        tokens=predicted,
        text=text,
        protocol=protocol_of(model),
        seconds=perf_counter() - start,
    )


def protocol_of(model: nn.Module) -> str:
    """How this model's windows begin."""
    return PROTOCOL_WITH_OPENING if families.opens_with_bos(model.config) else PROTOCOL


# (done, of how many, of what, the negative log-likelihood that was added up)
Steps = Iterator[tuple[int, int, str, float]]


@torch.no_grad()
def _by_block(model: nn.Module, windows: Tensor, weights: Weights) -> Steps:
    """All windows through one block after the other, then the head a few positions at a time.

    What the whole model's forward would give, with a fraction of its logits in memory.
    """
    bypass = Bypass.of(model, weights)
    batch = windows_per_batch(*windows.shape)
    with bypass.stepped_over():
        hidden = HiddenStates.at_first_block(model, weights.blocks, windows, batch)
    for index in range(len(weights.blocks)):
        with weights.block(index) as block:
            for _ in hidden.straight_through(block, index):
                yield index, len(weights.blocks), "blocks", 0.0
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


def evaluate(
    model: str,
    text: str = "wikipedia",
    samples: int = 12,
    length: int = 1024,
    device: str = "auto",
    dtype: str = "auto",
    progress: Callable[[Progress], None] | None = None,
) -> Evaluated:
    """Perplexity of any model (catalogue name, folder or Hub id) on a text (a name or a UTF-8 file).

    Raises PruneError with one sentence for what the user can change.
    """
    from apt_core.base.hardware import choose_device, choose_dtype
    from apt_core.jobs.recipe import Evaluation, ModelRef, make_value
    from apt_core.models.fetch.sources import resolve
    from apt_core.models.load.loading import load
    from apt_core.texts.sources import load_text, token_windows

    wanted = make_value(Evaluation, text=text, samples=samples, length=length)
    ref = make_value(ModelRef, id=model)

    def report(stage: str, done: float, total: float, detail: str = "") -> None:
        if progress:
            progress(Progress(stage=stage, done=done, total=total, detail=detail))

    used_device = choose_device(device)
    loaded, tokenizer = load(resolve(ref, report), choose_dtype(used_device, dtype), used_device)
    content = load_text(wanted.text, "evaluation", report)
    opening = families.opening_token(loaded.config, tokenizer)
    windows = token_windows(tokenizer, content, wanted.length, wanted.samples, opening)
    steps = perplexity_events(loaded, windows, "dense", wanted.text)
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            return stop.value
        if progress:
            progress(event)
