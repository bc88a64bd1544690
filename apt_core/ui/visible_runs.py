"""The runs of the store and the recorded samples, as one visitor may read and use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from apt_core.base.errors import BadInput, PruneError, UnknownRun
from apt_core.base.policy import HostPolicy
from apt_core.events import Answers
from apt_core.events.records import RunRecord
from apt_core.jobs import Job
from apt_core.reports.samples import PREFIX
from apt_core.runs import asked, owners
from apt_core.runs.ids import is_run_id
from apt_core.runs.labels import NONE as NOTHING_WRITTEN
from apt_core.runs.labels import Labels
from apt_core.runs.owners import SAMPLES, Action, Visitor
from apt_core.studies.names import names_of

MOST_OFFERED = 30  # runs beside one that is asked


class VisibleRuns(NamedTuple):
    """samples: the records of the recorded ones, by id."""

    store: Any
    samples: Mapping[str, RunRecord]
    visitor: Visitor
    policy: HostPolicy

    def record(self, run_id: str) -> RunRecord:
        """A run of the store or a recorded sample; raises UnknownRun."""
        if run_id in self.samples:
            return self.samples[run_id]
        if run_id.startswith(PREFIX):
            raise UnknownRun(f"There is no recorded sample '{run_id[:60]}'.")
        if not is_run_id(run_id):
            raise UnknownRun(f"There is no run '{run_id[:60]}'; the list of runs shows those that exist.")
        record: RunRecord = self.store.get(run_id)
        owners.check(self.visitor, Action.READ, [record.owner])
        return record

    def known(self, limit: int) -> list[RunRecord]:
        """The newest runs that the visitor's list shows, then the recorded samples."""
        return [*self.store.list(limit=limit, owners=self.visitor.listed), *self.samples.values()]

    def waiting(self) -> list[str]:
        """The visitor's own runs that wait, in the order in which they will begin."""
        with self.store.index.read() as rows:
            return [row.id for row in rows.queue() if row.owner in self.visitor.names]

    # --- rights ----------------------------------------------------------------------------------

    def owner_of(self, record: RunRecord) -> str:
        return SAMPLES if record.id in self.samples else record.owner

    def may(self, action: Action, record: RunRecord) -> bool:
        """Whether the visitor may do that with this run."""
        return owners.may(self.visitor, action, self.owner_of(record))

    def check_may(self, action: Action, run_ids: Sequence[str]) -> None:
        """Raise NotYours where the visitor may not do that with all of these runs, UnknownRun for one of them."""
        owners.check(self.visitor, action, [self.owner_of(self.record(run_id)) for run_id in run_ids])

    def check_may_build_on(self, job: Job) -> None:
        """Raise PruneError where the job's model is that of a run which the visitor may not use, and where it goes on
        from a run which the visitor may not resume."""
        if job.model.run is not None:
            self.check_may(Action.BUILD_ON, [job.model.run])
            self.check_may_use(job.model.run)
        if job.goes_on_from is not None:
            self.check_may(Action.RESUME, [job.goes_on_from])

    def check_may_ask(self, run_ids: Sequence[str]) -> None:
        self.check_may(Action.ASK, run_ids)
        for run_id in run_ids:
            self.check_may_use(run_id)

    def check_may_use(self, run_id: str) -> None:
        """Raise BadInput where what a run made is not for everybody."""
        if self.withholds(run_id):
            raise BadInput(
                "That run's model is only for accounts that accepted its terms, so it cannot be used here."
            )

    def withholds(self, run_id: str) -> bool:
        """Whether the weights of this run stay here: on a public host, when its model came with a visitor's
        account, which others may not have."""
        return self.policy.public and run_id not in self.samples and self.store.came_with_token(run_id)

    # --- what a run has left ---------------------------------------------------------------------

    def checkpoint(self, run_id: str) -> Path | None:
        """The folder of the pruned weights, None for samples, for runs that have none (any more), and for those
        that are not for everybody."""
        if run_id in self.samples or self.withholds(run_id):
            return None
        return self.store.checkpoint(run_id)

    def labels_of(self, run_id: str) -> Labels:
        """What the visitor wrote on a run of theirs; nothing on anybody else's."""
        mine = self.may(Action.LABEL, self.record(run_id))
        return self.store.labels_of(run_id) if mine and run_id not in self.samples else NOTHING_WRITTEN

    def asked(self, record: RunRecord) -> tuple[Answers, ...]:
        """What the visitor asked a run of theirs; nothing of anybody else's."""
        mine = self.may(Action.LABEL, record) and record.id not in self.samples
        return asked.asked(self.store.folder(record.id)) if mine else ()

    def keep_answers(self, record: RunRecord, answers: Answers) -> None:
        """Of a run of the visitor's; a stranger's question stays on the stranger's screen."""
        if self.may(Action.LABEL, record) and record.id not in self.samples:
            asked.keep(self.store.folder(record.id), answers)

    def can_go_on(self, record: RunRecord) -> bool:
        """Whether this run stopped in the middle of something whose state is kept, such as a training, and the visitor
        may resume it."""
        stopped = record.job.keeps_state() and record.status in ("cancelled", "failed")
        if not stopped or not self.may(Action.RESUME, record):
            return False
        try:
            return bool(self.store.training_of(record.id))
        except PruneError:
            return False

    def bounds_reached(self, record: RunRecord) -> dict[str, Any]:
        """The fields of its job with which a run that stopped makes a model of what it reached; none where it cannot
        be."""
        if not self.can_go_on(record):
            return {}
        try:
            return dict(self.store.bounds_reached(record.id))
        except PruneError:
            return {}

    def made_from(self, run_id: str) -> list[RunRecord]:
        """The runs whose model this run made, of those that stand in the visitor's lists."""
        if run_id in self.samples:
            return []
        found: list[RunRecord] = self.store.made_from(run_id)
        return [record for record in found if owners.lists(self.visitor, record.owner)]

    def askable_beside(self, record: RunRecord, runs: Sequence[RunRecord]) -> dict[str, str]:
        """Run -> name of the other finished ones of these runs that pruned the same model and still have their
        weights."""
        found = [
            run
            for run in runs
            if run.id != record.id
            and run.status == "finished"
            and "pruned" in run.job.subjects
            and run.job.model == record.job.model
            and self.checkpoint(run.id) is not None
        ][:MOST_OFFERED]
        names = names_of([record, *found])
        return {run.id: names[run.id] for run in found}
