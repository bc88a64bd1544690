"""Perplexity by the field's protocol, and speed and size as measured. The protocol is part of the result.

Protocol `joined-v1`: the whole text is tokenised at once with the tokenizer's defaults, cut into
non-overlapping windows of `length` tokens from the start, the tail dropped; each window predicts its own
tokens 2..length; perplexity = exp(mean negative log-likelihood over all predicted tokens), log-softmax in
float32. (The loader of Wanda and SparseGPT does the same.) Values at different lengths do not compare.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Generator
from time import perf_counter

import torch
from torch import Tensor, nn

from apt_core.caches import Decoder
from apt_core.errors import RunFailed
from apt_core.events import Evaluated, Progress, Side

PROTOCOL = "joined-v1"
_LOGITS_PER_BATCH = 64_000_000  # tokens x vocabulary: 256 MB in float32
_WARM_UP = 4
_ROWS_IN_FLOAT32 = 512  # positions whose float32 copy exists at the same time


@torch.no_grad()
def perplexity_events(
    model: nn.Module, windows: Tensor, side: Side, text: str
) -> Generator[Progress, None, Evaluated]:
    """Yield Progress per batch and return the Evaluated event. windows: [n, length] token ids."""
    start = perf_counter()
    device = next(model.parameters()).device
    length = windows.shape[1]
    batch = max(1, _LOGITS_PER_BATCH // (length * model.config.get_text_config().vocab_size))
    total, predicted = 0.0, 0
    for first in range(0, len(windows), batch):
        part = windows[first : first + batch].to(device)
        total += _negative_log_likelihood(model, part)
        predicted += part.shape[0] * (length - 1)
        done = min(first + batch, len(windows))
        yield Progress(stage=f"{side}_eval", done=done, total=len(windows), detail="windows")
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
        protocol=PROTOCOL,
        seconds=perf_counter() - start,
    )


def _negative_log_likelihood(model: nn.Module, windows: Tensor) -> float:
    """Sum over all predicted tokens of [batch, length] windows, by the model's own forward."""
    logits = model(input_ids=windows, use_cache=False).logits[:, :-1]
    logits = logits.reshape(-1, logits.shape[-1])
    targets = windows[:, 1:].reshape(-1)
    total = 0.0
    for start in range(0, len(targets), _ROWS_IN_FLOAT32):
        part = slice(start, start + _ROWS_IN_FLOAT32)
        total += float(nn.functional.cross_entropy(logits[part].float(), targets[part], reduction="sum"))
    return total


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
    from apt_core.calibration import load_text, token_windows
    from apt_core.hardware import choose_device, choose_dtype
    from apt_core.models.loading import load
    from apt_core.models.sources import resolve
    from apt_core.recipe import Evaluation, ModelRef, make_value

    wanted = make_value(Evaluation, text=text, samples=samples, length=length)
    ref = make_value(ModelRef, id=model)

    def report(stage: str, done: float, total: float, detail: str = "") -> None:
        if progress:
            progress(Progress(stage=stage, done=done, total=total, detail=detail))

    used_device = choose_device(device)
    loaded, tokenizer = load(resolve(ref, report), choose_dtype(used_device, dtype), used_device)
    content = load_text(wanted.text, "evaluation", report)
    steps = perplexity_events(
        loaded, token_windows(tokenizer, content, wanted.length, wanted.samples), "dense", wanted.text
    )
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            return stop.value
        if progress:
            progress(event)
