"""Perplexity of one model on every text of the job, then the zero-shot tasks that it asks for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import cast

from torch import Tensor

from apt_core.base import hardware
from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.events import Event, Finished, Progress, Rounded, Warned
from apt_core.execute.context import Context
from apt_core.execute.opening import Opened, describe, evaluation_windows, open_model
from apt_core.execute.rounding import RoundedStore, rounded_size
from apt_core.jobs import Evaluate
from apt_core.measure import zero_shot
from apt_core.measure.dense_cache import known_perplexity_events
from apt_core.measure.perplexity import perplexity_events
from apt_core.models.fetch.background import with_progress
from apt_core.models.load.weight_store import WeightStore


def run(job: Evaluate, context: Context) -> Generator[Event, None, None]:
    """Measure as the job says, yielding an event for everything that happens.

    Each text passes every block once, so blocks are read from disk one at a time where the file allows it.
    """
    clock = context.clock
    device = choose_device(context.device)
    dtype = choose_dtype(device, job.resources.dtype)
    with clock("load"):
        yield Progress(stage="load", subject="model", done=0, total=1)
        opened = yield from open_model(job, context, dtype, device)
        texts = yield from evaluation_windows(job, opened, context.policy)
    yield describe(job, context, opened, device, dtype)
    with clock("evaluate"):
        if job.rounding.number:
            yield from _rounded(job, opened, texts)
        else:
            yield from _as_it_is(job, opened, texts)
    if job.tasks.listed:
        with clock("tasks"):
            yield from _tasks(job, opened)
    yield Finished(seconds=clock.rounded(), peak_rss_bytes=hardware.peak_rss_bytes())


def _as_it_is(job: Evaluate, opened: Opened, texts: list[Tensor]) -> Iterator[Event]:
    for wanted, windows in zip(job.evaluation, texts, strict=True):
        found = yield from known_perplexity_events(
            opened.model, windows, "model", wanted.text, opened.folder, opened.store
        )
        yield found


def _tasks(job: Evaluate, opened: Opened) -> Iterator[Event]:
    """By lm-evaluation-harness, which calls the whole model."""
    names, limit = job.tasks.listed, job.tasks.limit
    with opened.store.all_loaded() as why_not:
        if why_not:
            yield Warned(message=f"The zero-shot tasks were left out, because {why_not}.")
            return
        found = yield from with_progress(
            lambda report: zero_shot.score(opened.model, opened.tokenizer, names, limit, report)
        )
    yield from found


def _rounded(job: Evaluate, opened: Opened, texts: list[Tensor]) -> Iterator[Event]:
    """Each block with its matrices rounded while windows pass it; nothing of that is kept for other runs."""
    for counted in rounded_size(opened, job.rounding):
        if isinstance(counted, Rounded):
            yield counted
        else:
            yield Progress(
                stage="evaluate",
                subject="model",
                done=counted,
                total=len(opened.store.blocks),
                detail="sizes",
            )
    store = cast(WeightStore, RoundedStore(opened.store, job.rounding))
    for wanted, windows in zip(job.evaluation, texts, strict=True):
        found = yield from perplexity_events(opened.model, windows, "model", wanted.text, store)
        yield found
