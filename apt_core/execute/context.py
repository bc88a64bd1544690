"""What a job is given to work with: nothing about a run is global. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from apt_core.base.clock import Clock
from apt_core.base.errors import UnknownModel
from apt_core.base.policy import HostPolicy
from apt_core.jobs import Job


class Made(NamedTuple):
    """A model that a run made: its folder, and what people call it."""

    folder: Path
    title: str


class RunReader(Protocol):
    """The part of the store that a job may look into."""

    def made_by(self, run_id: str) -> Made:
        """Raises BadInput with one sentence where that run has no model (any more)."""
        ...


class Context(NamedTuple):
    folder: Path  # of this run; what it makes goes to `checkpoint/` in it
    place: str  # the device that was asked for: auto, cpu, cuda, mps
    clock: Clock
    policy: HostPolicy
    store: RunReader | None = None  # None in a process without a store

    @classmethod
    def of(cls, job: Job, folder: Path, policy: HostPolicy, store: RunReader | None = None) -> Context:
        return cls(folder, job.resources.device, Clock(), policy, store)

    def made_by(self, run_id: str) -> Made:
        """The model of another run; raises BadInput where there is none."""
        if self.store is None:
            raise UnknownModel(f"There is no store of runs here, so run:{run_id[:40]} names no model.")
        return self.store.made_by(run_id)
