"""The seats of runs: which run has which, and the estimates of those that wait. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from apt_core.base.errors import PruneError
from apt_core.base.policy import PRIVATE
from apt_core.estimate.preflight import estimate
from apt_core.jobs import Job
from apt_core.models.catalogue.facts import ModelFacts, folder_facts, model_facts
from apt_core.runs import processes
from apt_core.runs.executors import AtWork, Demand, Executor, Seat
from apt_core.runs.index import Row
from apt_core.runs.store import Store

_FILE = "seat.json"  # in the folder of a run


class Seats:
    """The seats of one store, given out by one executor."""

    def __init__(self, store: Store, executor: Executor):
        self._store = store
        self._executor = executor
        self._demands: dict[str, Demand] = {}
        self._facts: dict[str, ModelFacts | None] = {}  # model -> None where it is not known

    def find_demands(self) -> None:
        """Look up what those that wait will take, where it matters; not in a transaction, as it may ask the Hub."""
        if not self._executor.wants_demand():
            return
        with self._store.index.read() as rows:
            queue = rows.queue()
        self._demands = {row.id: self._demands.get(row.id) or self._demand_of(row.id) for row in queue}

    def forget_demands(self) -> None:
        self._demands.clear()
        self._facts.clear()

    def free_for(self, row: Row, active: Sequence[Row]) -> Seat | None:
        """Where this run may start now; None while it has to wait."""
        return self._executor.seat(
            self._demands.get(row.id, Demand()), [self._at_work(one) for one in active]
        )

    def take(self, run_id: str, seat: Seat) -> None:
        """Write down who sits where, as far as it is not the only seat there is. Raises OSError on a full disk."""
        if seat != Seat():
            self._file(run_id).write_text(seat.model_dump_json())

    def leave(self, run_id: str) -> None:
        """The worker of a run is gone."""
        with suppress(OSError):
            self._file(run_id).unlink(missing_ok=True)

    def _at_work(self, row: Row) -> AtWork:
        return AtWork(self._seat_of(row.id), processes.memory_of(row.pid) if row.pid else 0)

    def _seat_of(self, run_id: str) -> Seat:
        try:
            return Seat.model_validate_json(self._file(run_id).read_bytes())
        except (OSError, ValidationError):  # of a version before, or a deleted folder
            return Seat()

    def _file(self, run_id: str) -> Path:
        return self._store.folder(run_id) / _FILE

    def _demand_of(self, run_id: str) -> Demand:
        try:
            job = self._store.get(run_id).job
            facts = self._facts_of(job)
            return Demand(memory_bytes=estimate(job, facts).memory_bytes if facts else None)
        except PruneError:  # nobody knows: the worker will say what is wrong
            return Demand()

    def _facts_of(self, job: Job) -> ModelFacts | None:
        if job.model.id not in self._facts:
            self._facts[job.model.id] = self._looked_up(job)
        return self._facts[job.model.id]

    def _looked_up(self, job: Job) -> ModelFacts | None:
        try:
            if job.model.run:
                return folder_facts(self._store.made_by(job.model.run).folder, job.model.id, source="run")
            return model_facts(
                job.model, PRIVATE
            )  # whether the job may use it was decided when it was asked for
        except (PruneError, OSError):
            return None
