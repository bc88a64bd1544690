"""Perplexity of one model on every text of the job, of a rounded one also how far it is from the model as it is, then
the zero-shot tasks that the job asks for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import cast

from torch import Tensor

from apt_core.base import hardware
from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.base.limits import compared_windows
from apt_core.events import Event, Finished, Progress, Rounded, Warned
from apt_core.execute.context import Context
from apt_core.execute.measuring import compared, states_of_dense
from apt_core.execute.opening import Opened, describe, evaluation_windows, open_model
from apt_core.execute.rounding import RoundedStore, rounded_size
from apt_core.jobs import Evaluate
from apt_core.measure import zero_shot
from apt_core.measure.dense_cache import known_perplexity_events
from apt_core.measure.perplexity import perplexity_events
from apt_core.models.fetch.background import with_progress
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.evaluation import LastStates


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
    yield describe(job, context, opened, dtype)
    rounded = LastStates(_compared_with_dense(job, texts[0]))
    with clock("evaluate"):
        if job.rounding.number:
            yield from _rounded(job, opened, texts, rounded)
        else:
            yield from _as_it_is(job, opened, texts)
    if rounded.windows:
        dense = LastStates(rounded.windows)
        yield from states_of_dense(job, context, opened, texts[0], dense, keeps=False)
        yield from compared(job, context, opened, texts[0], dense, rounded)
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


def _compared_with_dense(job: Evaluate, windows: Tensor) -> int:
    """How many windows of the first text: of a rounded model, unless it is rounded on top of what a run made, whose
    dense model is not here."""
    return compared_windows(*windows.shape) if job.rounding.number and job.model.run is None else 0


def _rounded(job: Evaluate, opened: Opened, texts: list[Tensor], first: LastStates) -> Iterator[Event]:
    """Each block with its matrices rounded while windows pass it; nothing of that is kept for other runs. first: keeps
    the states of the first text."""
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
    for number, (wanted, windows) in enumerate(zip(job.evaluation, texts, strict=True)):
        last = None if number else first
        found = yield from perplexity_events(opened.model, windows, "model", wanted.text, store, last)
        yield found
