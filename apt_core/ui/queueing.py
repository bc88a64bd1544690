"""Queues, stops and resumes runs and studies for one visitor, after checking rights and quotas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from apt_core.jobs import Job
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import Space
from apt_core.jobs.study import Study
from apt_core.runs import owners
from apt_core.runs.making import must_be_renewed
from apt_core.runs.owners import Action
from apt_core.studies import bisection
from apt_core.studies.race import RACE
from apt_core.studies.rounding import ROUNDING
from apt_core.studies.sweep import SWEEP, check_is_sweep
from apt_core.ui.admission import Admission
from apt_core.ui.lately import Lately
from apt_core.ui.visible_runs import VisibleRuns


class Queueing(NamedTuple):
    """Each method is the one of the studio that has its name; that one says what it promises."""

    runs: VisibleRuns
    admission: Admission
    launcher: Any
    lately: Lately

    def submit(self, jobs: Sequence[Job], token: str | None) -> str:
        with self._starting(jobs) as owner:
            if len(jobs) == 1:
                return self.launcher.submit(jobs[0], token, owner=owner)
            return self.launcher.submit_study(RACE, jobs, token, owner=owner).runs[0]

    def sweep(self, space: Space, token: str | None) -> Study:
        jobs = space.expand(self.runs.policy.sweep_runs).jobs
        with self._starting(jobs) as owner:
            return self.launcher.submit_study(SWEEP, jobs, token, space, owner=owner)

    def rounding(self, jobs: Sequence[Job], token: str | None) -> Study:
        with self._starting(jobs) as owner:
            return self.launcher.submit_study(ROUNDING, jobs, token, owner=owner)

    def search(self, wanted: Bisection, token: str | None) -> Study:
        with self._starting([wanted.base], later=bisection.MOST_RUNS - 1) as owner:
            return bisection.start(self.launcher, wanted, token, owner)

    def resume_study(self, before: Study) -> Study:
        check_is_sweep(before)
        owners.check(self.runs.visitor, Action.RESUME, [before.owner])
        with self._starting(before.jobs, self._to_renew(before)):
            study = self.launcher.resume_study(before.id)
        bisection.advance(
            self.runs.store, before.id
        )  # a search that was held: the visitor may start runs now
        return study

    def _to_renew(self, study: Study) -> int:
        """How many runs of a study would be queued again."""
        known = {record.id: record for record in self.runs.store.runs_of(study.id)}
        return sum(must_be_renewed(study, known.get(run_id)) for run_id in study.runs)

    @contextmanager
    def _starting(self, jobs: Sequence[Job], now: int | None = None, later: int = 0) -> Iterator[str]:
        """Runs for these jobs are queued inside, for the owner that it gives. now: how many, where not for all of them;
        later: how many may follow from their results. Raises PruneError, before anything is queued, where the visitor
        may not start so many, or one of these."""
        self.admission.check_accepted()
        for job in jobs:
            self.runs.check_may_build_on(job)
        self.admission.check_models(jobs, self.runs.policy)
        visitor = self.admission.visitor
        more = len(jobs) if now is None else now
        with self.admission.usage.starting(visitor, self.runs.store, more, later):
            yield visitor.name
        self.lately.forget()

    def stop_study(self, study: Study) -> None:
        owners.check(self.runs.visitor, Action.STOP, [study.owner])
        self.runs.store.cancel_study(study.id)
        self._stopped()

    def cancel(self, run_id: str) -> None:
        if run_id not in self.runs.samples:
            self.runs.check_may(Action.STOP, [run_id])
            self.runs.store.request_cancel(run_id)
            self._stopped()

    def _stopped(self) -> None:
        self.launcher.tick()
        self.lately.forget()
