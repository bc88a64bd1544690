"""What the page works with: the store of runs, the queue, the reader, the inspector and the recorded samples."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from apt_core.base.errors import BadInput, PruneError, UnknownRun
from apt_core.base.policy import HostPolicy
from apt_core.events.records import RunRecord, public_name
from apt_core.jobs import Job, Recover, Search
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import Space
from apt_core.jobs.study import Study
from apt_core.measure.inside.questions import Answer, Question
from apt_core.measure.questions import Question as Prompt
from apt_core.models.catalogue.facts import ModelFacts, model_facts
from apt_core.plots.chart import RunSet
from apt_core.reports import samples
from apt_core.reports.as_json import asked_run_json, run_json
from apt_core.reports.export import card_of
from apt_core.reports.run_words import run_title
from apt_core.reports.samples import SampleAnswer
from apt_core.runs import owners
from apt_core.runs.executors.local import LocalExecutor
from apt_core.runs.hiding import Hidden
from apt_core.runs.hosting import Hosting
from apt_core.runs.ids import is_run_id
from apt_core.runs.inspecting import Inspector
from apt_core.runs.labels import NONE as NOTHING_WRITTEN
from apt_core.runs.labels import Labels
from apt_core.runs.launcher import Launcher
from apt_core.runs.liveness import RunLimits
from apt_core.runs.owners import SAMPLES, Action, Visitor
from apt_core.runs.query import Entry, Query, select
from apt_core.runs.quotas import Quotas
from apt_core.runs.reading import Reader
from apt_core.runs.store import Store
from apt_core.runs.usage import Usage
from apt_core.runs.votes import Votes
from apt_core.studies import bisection
from apt_core.studies.compare import runs_to_compare
from apt_core.studies.names import names_of
from apt_core.studies.race import RACE
from apt_core.studies.sweep import SWEEP, check_is_sweep
from apt_core.ui import acting
from apt_core.ui.forms import uploads
from apt_core.ui.handed_out import Handouts

LATELY_SECONDS = 1.0
_MOST_LOOKS = 256  # visitors and studies whose runs are remembered for so long
MOST_OFFERED = 30  # runs beside one that is asked
_log = logging.getLogger(__name__)


class Studio:
    """One per process; every handler of the page gets it. Tests give their own store and launcher."""

    def __init__(
        self,
        store: Any,
        launcher: Any,
        reader: Any,
        recorded: dict[str, samples.Sample] | None = None,
        policy: HostPolicy = HostPolicy(),  # noqa: B008 - immutable
        inspector: Any = None,
        quotas: Quotas = Quotas(),  # noqa: B008 - immutable
        votes: Votes | None = None,
        hosting: Hosting | None = None,
    ):
        self.store = store
        self.launcher = launcher
        self.reader = reader
        self.inspector = inspector or Inspector(store)
        self.policy = policy
        self.usage = Usage(quotas)
        self.hosting = hosting
        self._inside: Counter[Question] = Counter()  # what is being looked at, and by how many
        self.recorded = samples.load() if recorded is None else recorded
        self._sample_records = {
            run_id: sample.record(run_id.removeprefix(samples.PREFIX))
            for run_id, sample in self.recorded.items()
        }
        self.handouts, self.votes = Handouts(), votes or Votes()
        self._looking = threading.Lock()
        self._forget_lately()

    # --- records ---------------------------------------------------------------------------------

    @property
    def visitor(self) -> Visitor:
        """In whose name all of this is done: the visitor whose request is being answered; at home the person there."""
        return acting.visitor_for(self.policy)

    def owner_of(self, record: RunRecord) -> str:
        return SAMPLES if record.id in self._sample_records else record.owner

    @property
    def where(self) -> str:
        """Where runs are done, in words; nothing where that is simply this machine, one at a time."""
        words = self.launcher.executor.words()
        return "" if words == LocalExecutor().words() else words

    @property
    def quotas(self) -> Quotas:
        return self.usage.quotas

    def may(self, action: Action, record: RunRecord) -> bool:
        """Whether the visitor may do that with this run."""
        return owners.may(self.visitor, action, self.owner_of(record))

    def labels_of(self, run_id: str) -> Labels:
        """What the visitor wrote on a run of theirs; nothing on anybody else's."""
        mine = self.may(Action.LABEL, self.record(run_id))
        return self.store.labels_of(run_id) if mine and not self.is_sample(run_id) else NOTHING_WRITTEN

    def _check_may(self, action: Action, run_ids: Sequence[str]) -> None:
        """Raise NotYours where the visitor may not do that with all of these runs, UnknownRun for one of them."""
        owners.check(self.visitor, action, [self.owner_of(self.record(run_id)) for run_id in run_ids])

    def record(self, run_id: str) -> RunRecord:
        """A run of the store or a recorded sample; raises UnknownRun."""
        if run_id in self._sample_records:
            return self._sample_records[run_id]
        if run_id.startswith(samples.PREFIX):
            raise UnknownRun(f"There is no recorded sample '{run_id[:60]}'.")
        if not is_run_id(run_id):
            raise UnknownRun(f"There is no run '{run_id[:60]}'; the list of runs shows those that exist.")
        record: RunRecord = self.store.get(run_id)
        owners.check(self.visitor, Action.READ, [record.owner])
        return record

    def has(self, run_id: str) -> bool:
        try:
            self.record(run_id)
        except UnknownRun:
            return False
        return True

    def is_sample(self, run_id: str) -> bool:
        return run_id in self._sample_records

    @property
    def first_sample(self) -> RunRecord | None:
        """What the empty page shows."""
        return next(iter(self._sample_records.values()), None)

    @property
    def samples(self) -> list[tuple[str, str]]:
        """(id, title) of every recorded sample."""
        return [(run_id, sample.title) for run_id, sample in self.recorded.items()]

    def title(self, record: RunRecord) -> str:
        """'SmolLM2 135M'; of a model that a run made its title and what was done to it."""
        return run_title(record, self._known)

    def as_json(self, record: RunRecord) -> dict[str, Any]:
        """The run as one JSON object."""
        return run_json(record, self.policy, self._place(record))

    def asked_as_json(self, record: RunRecord) -> dict[str, Any]:
        """The same for whoever asked for the run: with its error, once it has ended without finishing."""
        return asked_run_json(record, self.policy, self._place(record))

    def _place(self, record: RunRecord) -> str | None:
        """Where its weights are, as this host may say it."""
        folder = self.checkpoint(record.id)
        return public_name(str(folder), self.policy) if folder else None

    def card(self, record: RunRecord) -> str:
        """The model card of what a run made."""
        return card_of(record, self._known)

    def _known(self, run_id: str) -> RunRecord | None:
        try:
            return self.record(run_id)
        except PruneError:
            return None

    def position(self, record: RunRecord) -> int | None:
        return self.store.position(record.id) if record.status == "queued" else None

    def waiting(self) -> list[str]:
        """The visitor's own runs that wait, in the order in which they will begin."""
        with self.store.index.read() as rows:
            return [row.id for row in rows.queue() if row.owner in self.visitor.names]

    def ahead(self, record: RunRecord) -> list[RunRecord]:
        """What runs or waits before this run, in its order; nothing once it has begun."""
        if record.status != "queued":
            return []
        line = self.store.live()
        return line[: next((place for place, run in enumerate(line) if run.id == record.id), 0)]

    def checkpoint(self, run_id: str) -> Path | None:
        """The folder of the pruned weights, None for samples, for runs that have none (any more), and for those
        that are not for everybody."""
        if run_id in self._sample_records or self.withholds(run_id):
            return None
        return self.store.checkpoint(run_id)

    def can_go_on(self, record: RunRecord) -> bool:
        """Whether this run stopped in the middle of a training or a search whose state is kept."""
        if not isinstance(record.job, Recover | Search) or record.status not in ("cancelled", "failed"):
            return False
        try:
            return bool(self.store.training_of(record.id))
        except PruneError:
            return False

    def withholds(self, run_id: str) -> bool:
        """Whether the weights of this run stay here: on a public host, when its model came with a visitor's
        account, which others may not have."""
        return (
            self.policy.public and run_id not in self._sample_records and self.store.came_with_token(run_id)
        )

    def check_may_use(self, run_id: str) -> None:
        """Raise BadInput where what a run made is not for everybody."""
        if self.withholds(run_id):
            raise BadInput(
                "That run's model is only for accounts that accepted its terms, so it cannot be used here."
            )

    def recorded_answer(self, run_id: str) -> SampleAnswer | None:
        sample = self.recorded.get(run_id)
        return sample.answer if sample else None

    def known_runs(self, limit: int = 100) -> list[RunRecord]:
        """The newest runs that the visitor's list shows, then the recorded samples."""
        return [*self.store.list(limit=limit, owners=self.visitor.listed), *self._sample_records.values()]

    def run_set(self, record: RunRecord) -> RunSet:
        """The run, and those that its charts may draw beside it: its study first, then the newest runs. A recorded
        sample stands beside samples alone, so that it looks the same to everybody."""
        if self.is_sample(record.id):
            return RunSet(record, tuple(self._sample_records.values()))
        studied = self._recent(record.study) if record.study else []
        others = {run.id: run for run in (*studied, *self.lately())}
        return RunSet(record, tuple(others.values()))

    def compared(self, run_ids: Sequence[str]) -> RunSet:
        """The runs that a visitor chose to compare; raises BadInput with one sentence, UnknownRun for one of them."""
        first, *others = runs_to_compare(run_ids, self.record)
        return RunSet(first, tuple(others), compare=True)

    def runs_of(self, study_id: str) -> list[RunRecord]:
        """The runs of a study; raises UnknownRun where there is none."""
        self.study(study_id)
        return list(self.store.runs_of(study_id))

    def lately(self) -> list[RunRecord]:
        """`known_runs` as they were within the last second."""
        return self._recent("")

    def _recent(self, study: str) -> list[RunRecord]:
        """The runs of a study, or the known ones, as they were within the last second: many tabs ask what others
        do, one look serves all of them."""
        key = study or ("", *self.visitor.names)
        with self._looking:
            at, found = self._looks.get(key, (float("-inf"), []))
            if time.monotonic() - at > LATELY_SECONDS:
                found = self.store.runs_of(study) if study else self.known_runs()
                self._looks[key] = (time.monotonic(), found)
                while len(self._looks) > _MOST_LOOKS:
                    self._looks.popitem(last=False)
            return found

    # --- doing -----------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job], token: str | None = None) -> str:
        """Queue one run for each job, all or none of them; returns the id of the first.

        token: of the Hub, for the workers alone; it stays in memory. Raises BadInput for a model that a run made
        whose weights are not for everybody.
        """
        with self._starting(jobs) as owner:
            if len(jobs) == 1:
                return self.launcher.submit(jobs[0], token, owner=owner)
            return self.launcher.submit_study(RACE, jobs, token, owner=owner).runs[0]

    def sweep(self, space: Space, token: str | None = None) -> Study:
        """Queue a grid of runs as one study. Raises BadInput where it is larger than this host allows."""
        jobs = space.expand(self.policy.sweep_runs).jobs
        with self._starting(jobs) as owner:
            return self.launcher.submit_study(SWEEP, jobs, token, space, owner=owner)

    def search(self, wanted: Bisection, token: str | None = None) -> Study:
        """Queue the first run of a search for the most sparsity; the launcher adds the others."""
        with self._starting([wanted.base]) as owner:
            return bisection.start(self.launcher, wanted, token, owner)

    @contextmanager
    def _starting(self, jobs: Sequence[Job]) -> Iterator[str]:
        """Runs for these jobs are queued inside, for the owner that it gives. Raises PruneError, before anything is
        queued, where the visitor may not start so many, or one of these."""
        visitor = self.visitor
        owners.check_known(visitor)
        if self.hosting is not None:
            self.hosting.check_accepts(visitor)
        for job in jobs:
            self._check_parent(job)
        self._check_models(jobs)
        with self.usage.starting(visitor, self.store, len(jobs)):
            yield visitor.name
        self._forget_lately()

    def _check_models(self, jobs: Sequence[Job]) -> None:
        """The Hub is asked how large a model is only where this host has a limit."""
        quotas = self.quotas
        if self.visitor.everything or (quotas.model_gb is None and quotas.model_blocks is None):
            return
        for model in {job.model for job in jobs if job.model.run is None}:
            self.check_model(model_facts(model, self.policy))

    def check_model(self, facts: ModelFacts) -> None:
        """Raise OverQuota for a model that is too large for this host."""
        self.usage.check_model(self.visitor, facts)

    def study(self, study_id: str) -> Study:
        """Raises UnknownRun where there is none."""
        if not is_run_id(study_id):
            raise UnknownRun(f"There is no study '{study_id[:60]}'.")
        return self.store.study(study_id)

    def may_change_study(self, study: Study) -> bool:
        """Whether the visitor may stop a study and go on with it."""
        return owners.may(self.visitor, Action.STOP, study.owner)

    def stop_study(self, study_id: str) -> None:
        """End what waits or works of a study."""
        owners.check(self.visitor, Action.STOP, [self.study(study_id).owner])
        self.store.cancel_study(study_id)
        self.launcher.tick()
        self._forget_lately()

    def resume_study(self, study_id: str) -> Study:
        """Queue again what was stopped, failed or deleted of a study."""
        before = self.study(study_id)
        check_is_sweep(before)
        owners.check(self.visitor, Action.RESUME, [before.owner])
        with self._starting(before.jobs):
            study = self.launcher.resume_study(study_id)
        bisection.advance(self.store, study_id)
        return study

    def _check_parent(self, job: Job) -> None:
        if job.model.run is not None:
            self._check_may(Action.BUILD_ON, [job.model.run])
            self.check_may_use(job.model.run)

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop; a run that has ended in the meantime is left alone."""
        if run_id not in self._sample_records:
            self._check_may(Action.STOP, [run_id])
            self.store.request_cancel(run_id)
            self.launcher.tick()
            self._forget_lately()

    def delete(self, run_ids: Sequence[str]) -> None:
        """Delete ended runs, all or none; for a minute `restore` brings them back."""
        self._check_may(Action.DELETE, run_ids)
        self.store.hide(run_ids)
        self._forget_lately()

    def hidden(self) -> list[Hidden]:
        """The runs whose deletion the visitor can still undo."""
        return self.store.hidden(self.visitor.listed)

    def restore(self, run_ids: Sequence[str]) -> None:
        """Undo the visitor's own deletion; raises BadInput where it is too late."""
        if not self.store.restore(run_ids, self.visitor.listed):
            raise BadInput("That was deleted more than a minute ago and cannot be brought back.")
        self._forget_lately()

    def label(self, run_id: str, **changes: Any) -> Labels:
        """Write on a run. Raises UnknownRun, BadInput."""
        self._check_may(Action.LABEL, [run_id])
        return self.store.label(run_id, **changes)

    def runs_found(self, query: Query) -> tuple[list[Entry], list[Entry]]:
        """(the runs that the query asks for in its order, all of them), of those that the visitor's list shows."""
        every = self.store.entries(self.visitor.listed)
        return select(every, query), every

    def readable(self, run_ids: Sequence[str]) -> list[RunRecord]:
        """The records of these runs; one that was deleted a moment ago is left out."""
        found = (self._known(run_id) for run_id in run_ids)
        return [record for record in found if record is not None]

    def ask(self, run_id: str, question: Prompt, others: Sequence[str] = (), dense: bool = True):
        """The replies of the reader (`Reader.ask`); raises BadInput where the weights of one of the runs are not for
        everybody."""
        self._check_may_use_all([run_id, *others])
        tokens = question.max_tokens * (len(others) + 1 + dense)
        return self._question(lambda: self.reader.ask(run_id, question, others, dense), tokens)

    def score(self, run_id: str, question: Prompt, tokens: Sequence[int], others: Sequence[str] = ()):
        """The dense answer's tokens run through the models of these runs; rights and errors as in `ask`."""
        self._check_may_use_all([run_id, *others])
        return self._question(lambda: self.reader.score(run_id, question, tokens, others))

    def keep_upload(self, path: str) -> str:
        """Keep a text that the visitor sent; returns its token. Raises PruneError, OSError."""
        visitor = self.visitor
        owners.check_known(visitor)
        if self.hosting is not None:
            self.hosting.check_serves(visitor)
        return uploads.keep(path, visitor, self.quotas)

    def _question(self, asking: Callable[[], Any], tokens: int = 0) -> Any:
        """The replies to a question of the visitor; raises PruneError where they may ask no more just now."""
        visitor = self.visitor
        if visitor.everything:
            return asking()
        owners.check_known(visitor)
        if self.hosting is not None:
            self.hosting.check_serves(visitor)
        return self.usage.question(visitor, asking, tokens)

    def check_askable(self, run_ids: Sequence[str]) -> None:
        """Raise PruneError where these runs cannot be asked together, or not by everybody."""
        self._check_may_use_all(run_ids)
        self.reader.check(run_ids)

    def _check_may_use_all(self, run_ids: Sequence[str]) -> None:
        self._check_may(Action.ASK, run_ids)
        for run_id in run_ids:
            self.check_may_use(run_id)

    def askable_beside(self, record: RunRecord) -> dict[str, str]:
        """Run -> name of the other finished runs that pruned the same model and still have their weights."""
        found = [
            run
            for run in self.lately()
            if run.id != record.id
            and run.status == "finished"
            and "pruned" in run.job.subjects
            and run.job.model == record.job.model
            and self.checkpoint(run.id) is not None
        ][:MOST_OFFERED]
        names = names_of([record, *found])
        return {run.id: names[run.id] for run in found}

    def look_inside(self, question: Question) -> Generator[Any]:
        """The replies of the inspector; raises BadInput where the run's weights are not for everybody."""
        self.check_may_use(question.run)
        return self._question(lambda: self._looking_inside(question))

    def _looking_inside(self, question: Question) -> Generator[Any]:
        """The replies of the inspector, while it is counted how many visitors wait for them."""
        with self._looking:
            self._inside[question] += 1
        try:
            yield from self.inspector.ask(question)
        finally:
            with self._looking:
                self._inside[question] -= 1
                self._inside += Counter()  # without those that nobody waits for

    def seen_inside(self, question: Question) -> Answer | None:
        """What was found before, None where nothing was; raises BadInput where it is not for everybody."""
        self.check_may_use(question.run)
        if sample := self.recorded.get(question.run):
            return next((one for one in sample.inside if one.kind == question.kind), None)
        return self.inspector.kept(question)

    def stop_looking(self, question: Question) -> None:
        """End the work on this question, unless somebody else waits for the answer too."""
        with self._looking:
            others = self._inside[question] > 1
        if not others:
            self.inspector.stop(question)

    def _forget_lately(self) -> None:
        self._looks: OrderedDict[Any, tuple[float, list[RunRecord]]] = OrderedDict()

    def close(self) -> None:
        """The page goes away; runs go on."""
        for part, end in (
            ("launcher", self.launcher.stop),
            ("reader", self.reader.close),
            ("inspector", self.inspector.close),
        ):
            try:
                end()
            except (OSError, PruneError) as error:
                _log.warning("The %s could not be closed: %s", part, error)


def open_studio(policy: HostPolicy) -> Studio:
    """The real one: the store of this machine, its queue at work."""
    store = Store()
    quotas, hosting = Quotas.of(policy, os.environ, store.root), Hosting(store.root)
    limits = RunLimits.of(policy, os.environ, quotas)
    launcher = Launcher(store, advance=bisection.advance, limits=limits, paused=hosting.draining)
    for study in store.studies():  # a search whose last run ended while nobody looked
        with suppress(PruneError):
            bisection.advance(store, study.id)
    launcher.start()
    votes = Votes(store.root)
    return Studio(store, launcher, Reader(store), policy=policy, quotas=quotas, votes=votes, hosting=hosting)
