"""Searches of tiny models, done in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from apt_core.base.policy import HostPolicy
from apt_core.events import Stamped
from apt_core.events.records import RunRecord, fold
from apt_core.execute import Context, run
from apt_core.execute.opening import open_model, searching_windows
from apt_core.execute.search_space import space_of
from apt_core.execute.shrink_given import Given
from apt_core.jobs import Job, make_job

WINDOWS = {"text": "wiki-sample", "samples": 2, "length": 32}
READ = {"text": "wiki-sample", "samples": 6, "length": 32, "held_out": 2}
SMALL = {"population": 5, "multiple": 1, "tolerance": 0.02}


def search(model: Any = "tiny-random-llama", evolution: Any = None, **more: Any) -> Job:
    """A job that ends within a second or two, bounded by generations."""
    fields = {"keep": 0.6, "generations": 3, "minutes": 60, "calibration": READ, "evaluation": WINDOWS} | more
    evolution = SMALL | (evolution or {})
    return make_job(
        "search", model={"id": str(model)}, evolution=evolution, device="cpu", dtype="float32", **fields
    )


def events(job: Job, folder: Path, store: Any = None) -> Any:
    """As a generator, to be stopped at any of them."""
    return run(job, Context.of(job, folder, HostPolicy(), store))


def record(job: Job, folder: Path, store: Any = None) -> RunRecord:
    log = [Stamped(seq=n, at=0.0, event=one) for n, one in enumerate(events(job, folder, store))]
    return fold(RunRecord(id="run", job=job), log)


def drained(steps: Any) -> Any:
    """What a generator returns in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def opened_for(job: Job, folder: Path) -> tuple[Given, Any, torch.Tensor]:
    """(what the parts of a search are given, the space, the held-out windows)."""
    context = Context.of(job, folder, HostPolicy())
    opened = drained(open_model(job, context, torch.float32, "cpu"))
    calibration, held_out = drained(searching_windows(job, opened, context.policy))
    given = Given(job, context, opened, calibration, torch.float32)
    return given, space_of(given), held_out
