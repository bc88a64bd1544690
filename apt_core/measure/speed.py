"""Prefill and decoding in tokens a second, models taking turns, so that other load affects all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, cast

import torch

from apt_core.base import hardware, threads
from apt_core.base.values import Frozen
from apt_core.events import Speed
from apt_core.measure.decoding import Decoder, last_places

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    Holder = Callable[[], AbstractContextManager[PreTrainedModel]]

_PROMPT = 16  # tokens that a decoder has read before the first that counts
_SOME_TOKEN = 5
_FEWEST_TURNS = 2  # that count


class Speeds(Frozen):
    """prefill: a prompt read in one go. decode: one token after the other, greedily, with cache. Both batch 1."""

    prefill: Speed
    decode: Speed


def in_turns(
    holders: Mapping[str, Holder],
    repeats: int = 5,
    prefill: int = 256,
    decode: int = 16,
    seconds: float = float("inf"),
) -> Generator[int, None, dict[str, Speeds]]:
    """Every model once, then every model again, `repeats` times; yields how many such turns are done.

    holders: each gives its model, ready to compute, for one turn. A first turn warms up and does not count; within a
    turn a prompt that is not timed does. No turn begins after so many seconds once two count.
    """
    read: dict[str, list[float]] = {name: [] for name in holders}
    written: dict[str, list[float]] = {name: [] for name in holders}
    begun = perf_counter()
    with threads.steady():
        for turn in range(repeats + 1):
            if turn > _FEWEST_TURNS and perf_counter() - begun > seconds:
                break
            for name, holder in holders.items():
                with holder() as model:
                    fast = decode / _decode_seconds(model, decode), prefill / _prefill_seconds(model, prefill)
                if turn:
                    written[name].append(fast[0])
                    read[name].append(fast[1])
            yield turn
    return {name: Speeds(prefill=_speed(read[name]), decode=_speed(written[name])) for name in holders}


def held(model: PreTrainedModel) -> AbstractContextManager[PreTrainedModel]:
    """The holder of a model that stays in memory."""
    return nullcontext(model)


def alternate(models: Mapping[str, PreTrainedModel], **how: int) -> dict[str, Speeds]:
    """`in_turns` to its end, of models that are in memory."""
    turns = in_turns({name: partial(held, model) for name, model in models.items()}, **how)
    while True:
        try:
            next(turns)
        except StopIteration as end:
            return cast(dict[str, Speeds], end.value)


@torch.no_grad()
def _prefill_seconds(model: PreTrainedModel, tokens: int) -> float:
    device = next(model.parameters()).device
    prompt = torch.full((1, tokens), _SOME_TOKEN, device=device)
    keep = last_places(tokens)
    return _timed(lambda: model(input_ids=prompt, use_cache=False, logits_to_keep=keep), device)


def _decode_seconds(model: PreTrainedModel, tokens: int) -> float:
    decoder = Decoder(model)
    first = decoder.next_logits(torch.full((_PROMPT,), _SOME_TOKEN)).argmax(keepdim=True)

    def write() -> None:
        token = first
        for _ in range(tokens):
            token = decoder.next_logits(token).argmax(keepdim=True)

    return _timed(write, decoder.device)


def _timed(work: Callable[[], object], device: torch.device) -> float:
    hardware.wait_for(device)
    start = perf_counter()
    work()
    hardware.wait_for(device)
    return max(perf_counter() - start, 1e-9)


def _speed(found: list[float]) -> Speed:
    return Speed(median=statistics.median(found), low=min(found), high=max(found), repeats=len(found))
