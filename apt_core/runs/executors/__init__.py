"""Where runs are done: on this machine, on a cluster, in calls of a ZeroGPU Space; chosen by APT_EXECUTOR.

Whatever the executor, each run has a worker process here that writes its log, hears when it is to stop and says how it
ended (one after the other, where it is done in calls); the executor says how many may run at once, and does the
job inside that process. One file an executor, found on sight. A package outside
names its own as an entry point of the group `apt_core.executors`: a function from the environment to an `Executor`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points

from apt_core.base.errors import BadInput
from apt_core.runs.executors.executor import AtWork, Demand, Executor, Places, Seat

__all__ = ["EXECUTORS", "AtWork", "Demand", "Executor", "Places", "Seat", "executor_of"]

_OWN = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
EXECUTORS: dict[str, Callable[[Mapping[str, str]], Executor]] = {
    **{module.NAME: module.executor for module in _OWN if hasattr(module, "NAME")},
    **{entry.name: entry.load() for entry in entry_points(group="apt_core.executors")},
}


def executor_of(environment: Mapping[str, str]) -> Executor:
    """The executor that APT_EXECUTOR names; where it names none `zerogpu` on a Space of that hardware, else `local`.
    Raises BadInput."""
    usual = "zerogpu" if environment.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true") else "local"
    name = environment.get("APT_EXECUTOR") or usual
    if name not in EXECUTORS:
        raise BadInput(f"APT_EXECUTOR is {name[:20]!r}; there are {', '.join(sorted(EXECUTORS))}.")
    return EXECUTORS[name](environment)
