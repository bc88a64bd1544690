"""Prefill and decoding in tokens a second, models taking turns, so that what else the machine does hits all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from apt_core.base.values import Frozen
from apt_core.measure.decoding import Decoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROMPT = 16  # tokens that a decoder has read before the first that counts
_SOME_TOKEN = 5


class Speed(Frozen):
    """Tokens a second over some repeats: the median, the slowest and the fastest."""

    median: float
    low: float
    high: float
    repeats: int

    @property
    def spread(self) -> float:
        return self.high - self.low


class Speeds(Frozen):
    """prefill: a prompt read in one go. decode: one token after the other, greedily, with cache. Both batch 1."""

    prefill: Speed
    decode: Speed


def alternate(
    models: Mapping[str, PreTrainedModel], repeats: int = 5, prefill: int = 256, decode: int = 16
) -> dict[str, Speeds]:
    """Every model once, then every model again, `repeats` times; a first turn warms up and does not count."""
    read: dict[str, list[float]] = {name: [] for name in models}
    written: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(repeats + 1):
        for name, model in models.items():
            fast = prefill / _prefill_seconds(model, prefill), decode / _decode_seconds(model, decode)
            if turn:
                read[name].append(fast[0])
                written[name].append(fast[1])
    return {name: Speeds(prefill=_speed(read[name]), decode=_speed(written[name])) for name in models}


def difference(dense: Speed, pruned: Speed) -> float | None:
    """Pruned over dense; None where it is not measurable now, because repeats of one model differ by more."""
    apart = abs(pruned.median - dense.median)
    return None if apart <= max(dense.spread, pruned.spread) else pruned.median / dense.median


@torch.no_grad()
def _prefill_seconds(model: PreTrainedModel, tokens: int) -> float:
    device = next(model.parameters()).device
    prompt = torch.full((1, tokens), _SOME_TOKEN, device=device)
    return _timed(lambda: model(input_ids=prompt, use_cache=False, logits_to_keep=1), device)


def _decode_seconds(model: PreTrainedModel, tokens: int) -> float:
    decoder = Decoder(model)
    first = decoder.next_logits(torch.full((_PROMPT,), _SOME_TOKEN)).argmax(keepdim=True)

    def write() -> None:
        token = first
        for _ in range(tokens):
            token = decoder.next_logits(token).argmax(keepdim=True)

    return _timed(write, decoder.device)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = perf_counter()
    work()
    wait()
    return max(perf_counter() - start, 1e-9)


def _speed(found: list[float]) -> Speed:
    return Speed(median=statistics.median(found), low=min(found), high=max(found), repeats=len(found))
