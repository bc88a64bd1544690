"""Perplexity of one model on every text of the job, and nothing else."""

from __future__ import annotations

from collections.abc import Generator

from apt_core.base import hardware
from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.events import Event, Finished, Progress
from apt_core.execute.context import Context
from apt_core.execute.opening import describe, evaluation_windows, open_model
from apt_core.jobs import Evaluate
from apt_core.measure.dense_cache import known_perplexity_events


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
        for wanted, windows in zip(job.evaluation, texts, strict=True):
            found = yield from known_perplexity_events(
                opened.model, windows, "model", wanted.text, opened.folder, opened.store
            )
            yield found
    yield Finished(seconds=clock.rounded(), peak_rss_bytes=hardware.peak_rss_bytes())
