"""How each kind of job is done: one file a kind, `run(job, context) -> events`. Imports passes, measure and below.

A file of this folder that is named as a kind of job does jobs of that kind; a package outside names its function as
an entry point of the group `apt_core.execute`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Generator
from importlib import import_module
from importlib.metadata import entry_points

from apt_core.base import threads
from apt_core.base.errors import BadInput
from apt_core.events import Event
from apt_core.execute.context import Context
from apt_core.jobs import JOBS, Job

__all__ = ["KINDS", "Context", "run"]
Executor = Callable[[Job, Context], Generator[Event, None, None]]


def _own(module: str) -> Callable[[], Executor]:
    return lambda: import_module(f"{__name__}.{module}").run


# Kind -> what gives its executor; most of them load torch, so each is imported when a job of its kind begins.
KINDS: dict[str, Callable[[], Executor]] = {
    **{module.name: _own(module.name) for module in pkgutil.iter_modules(__path__) if module.name in JOBS},
    **{entry.name: entry.load for entry in entry_points(group="apt_core.execute")},
}


def run(job: Job, context: Context) -> Generator[Event, None, None]:
    """Do a job, yielding an event for everything that happens.

    Closing the generator stops the work; nothing half-written stays behind. Between two events the threads of torch
    follow the free cores (`base.threads`).
    Raises PruneError for what the user can change; out-of-memory and OSErrors pass through.
    """
    if job.kind not in KINDS:
        raise BadInput(f"Nothing here can do a job of kind '{job.kind}'.")
    yield from threads.following(KINDS[job.kind]()(job, context))
