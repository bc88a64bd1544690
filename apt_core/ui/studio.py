"""What the page works with: the store of runs, the queue, the reader, the inspector and the recorded samples."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from apt_core.base.errors import BadInput, PruneError, UnknownRun
from apt_core.base.policy import HostPolicy
from apt_core.events import Answers
from apt_core.events.records import RunRecord, public_name
from apt_core.jobs import Evaluate, Job
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import Space
from apt_core.jobs.study import Study
from apt_core.measure.inside.questions import AllocationQuestion, Answer, Question, RunQuestion
from apt_core.measure.questions import Question as Prompt
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.plots.chart import RunSet
from apt_core.reports import samples
from apt_core.reports.as_json import asked_run_json, run_json
from apt_core.reports.export import card_of
from apt_core.reports.run_words import run_title
from apt_core.runs import owners
from apt_core.runs.executors.local import LocalExecutor
from apt_core.runs.hiding import Hidden
from apt_core.runs.hosting import Hosting
from apt_core.runs.ids import is_run_id
from apt_core.runs.inspecting import Inspector
from apt_core.runs.labels import Labels
from apt_core.runs.launcher import Launcher
from apt_core.runs.liveness import RunLimits
from apt_core.runs.owners import Action, Visitor
from apt_core.runs.query import Entry, Query, select
from apt_core.runs.quotas import Quotas
from apt_core.runs.reading import Reader
from apt_core.runs.shared_memory import SharedMemory
from apt_core.runs.store import Store
from apt_core.runs.usage import Usage
from apt_core.runs.votes import Votes
from apt_core.studies import bisection
from apt_core.studies.compare import runs_to_compare
from apt_core.studies.named_runs import all_of_a_study
from apt_core.studies.rounding import rounding_jobs
from apt_core.ui import acting, gguf_room
from apt_core.ui.admission import Admission, check_goes_on
from apt_core.ui.forms import uploads
from apt_core.ui.handed_out import Handouts
from apt_core.ui.lately import Lately
from apt_core.ui.looks import Looks
from apt_core.ui.pushes import Pushes
from apt_core.ui.pushing import Pushing
from apt_core.ui.queueing import Queueing
from apt_core.ui.shared_looks import SharedLooks
from apt_core.ui.streams import Streams
from apt_core.ui.visible_runs import VisibleRuns

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
        self.inspector = inspector or Inspector(store, policy=policy)
        self.policy = policy
        self.usage = Usage(quotas)
        self.hosting = hosting
        self.recorded = samples.load() if recorded is None else recorded
        self._sample_records = {
            run_id: sample.record(run_id.removeprefix(samples.PREFIX))
            for run_id, sample in self.recorded.items()
        }
        self.handouts, self.votes = Handouts(), votes or Votes()
        self._inside, self._lately = SharedLooks(), Lately()
        self.streams, self._pushes = Streams(), Pushes()

    @property
    def visitor(self) -> Visitor:
        """In whose name all of this is done: the visitor whose request is being answered; at home the person there."""
        return acting.visitor_for(self.policy)

    @property
    def _runs(self) -> VisibleRuns:
        return VisibleRuns(self.store, self._sample_records, self.visitor, self.policy)

    @property
    def _admission(self) -> Admission:
        return Admission(self.visitor, self.usage, self.hosting)

    @property
    def _queueing(self) -> Queueing:
        return Queueing(self._runs, self._admission, self.launcher, self._lately)

    @property
    def pushing(self) -> Pushing:
        """What the visitor sends to the Hub."""
        return Pushing(self._runs, self._admission, self._pushes, self.known)

    @property
    def _looks(self) -> Looks:
        return Looks(self._runs, self._admission, self.inspector, self._inside, self.recorded)

    @property
    def where(self) -> str:
        """Where runs are done, in words; nothing where that is simply this machine, one at a time."""
        words = self.launcher.executor.words()
        return "" if words == LocalExecutor().words() else words

    @property
    def quotas(self) -> Quotas:
        return self.usage.quotas

    # --- records ---------------------------------------------------------------------------------

    def owner_of(self, record: RunRecord) -> str:
        return self._runs.owner_of(record)

    def may(self, action: Action, record: RunRecord) -> bool:
        """Whether the visitor may do that with this run."""
        return self._runs.may(action, record)

    def labels_of(self, run_id: str) -> Labels:
        """What the visitor wrote on a run of theirs; nothing on anybody else's."""
        return self._runs.labels_of(run_id)

    def record(self, run_id: str) -> RunRecord:
        """A run of the store or a recorded sample; raises UnknownRun."""
        return self._runs.record(run_id)

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
        return run_title(record, self.known)

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
        return card_of(record, self.known)

    def known(self, run_id: str) -> RunRecord | None:
        """A run that the visitor may read, None where there is none."""
        try:
            return self.record(run_id)
        except PruneError:
            return None

    def position(self, record: RunRecord) -> int | None:
        return self.store.position(record.id) if record.status == "queued" else None

    def waiting(self) -> list[str]:
        """The visitor's own runs that wait, in the order in which they will begin."""
        return self._runs.waiting()

    def ahead(self, record: RunRecord) -> list[RunRecord]:
        """What runs or waits before this run, in its order; nothing once it has begun."""
        if record.status != "queued":
            return []
        line = self.store.live()
        return line[: next((place for place, run in enumerate(line) if run.id == record.id), 0)]

    def checkpoint(self, run_id: str) -> Path | None:
        """The folder of the pruned weights, None for samples, for runs that have none (any more), and for those
        that are not for everybody."""
        return self._runs.checkpoint(run_id)

    def can_go_on(self, record: RunRecord) -> bool:
        """Whether this run stopped in the middle of something whose state is kept, such as a training, and the visitor
        may go on with it."""
        return self._runs.can_go_on(record)

    def bounds_reached(self, record: RunRecord) -> dict[str, Any]:
        """The fields of its job with which a run that stopped makes a model of what it reached; none where it cannot
        be."""
        return self._runs.bounds_reached(record)

    def made_from(self, run_id: str) -> list[RunRecord]:
        """The runs whose model this run made, of those that stand in the visitor's lists."""
        return self._runs.made_from(run_id)

    def withholds(self, run_id: str) -> bool:
        """Whether the weights of this run stay here: on a public host, when its model came with a visitor's
        account, which others may not have."""
        return self._runs.withholds(run_id)

    def check_may_resume(self, run_id: str) -> None:
        """Raise NotYours for a run of another visitor."""
        self._runs.check_may(Action.RESUME, [run_id])

    def check_may_use(self, run_id: str) -> None:
        """Raise BadInput where what a run made is not for everybody."""
        self._runs.check_may_use(run_id)

    def with_questions(self, record: RunRecord) -> RunRecord:
        """The same with what its owner asked both models, where that is who looks."""
        return record.model_copy(update={"asked": self._runs.asked(record)})

    def keep_answers(self, run_id: str, answers: Answers) -> None:
        """Keep what the visitor asked a run of theirs."""
        self._runs.keep_answers(self.record(run_id), answers)

    def known_runs(self, limit: int = 100) -> list[RunRecord]:
        """The newest runs that the visitor's list shows, then the recorded samples."""
        return self._runs.known(limit)

    def run_set(self, record: RunRecord) -> RunSet:
        """The run, and those that its charts may draw beside it: its study first, then the newest runs. A recorded
        sample stands beside samples alone, so that it looks the same to everybody."""
        if self.is_sample(record.id):
            return RunSet(record, tuple(self._sample_records.values()))
        study = record.study
        studied = self._lately.runs(study, lambda: self.store.runs_of(study)) if study else []
        others = {run.id: run for run in (*studied, *self.lately())}
        return RunSet(record, tuple(others.values()))

    def compared(self, run_ids: Sequence[str]) -> RunSet:
        """The runs that a visitor chose to compare, one by one or as all of a study; raises BadInput with one sentence,
        UnknownRun for one of them."""
        first, *others = runs_to_compare(all_of_a_study(self.store, run_ids), self.record)
        return RunSet(first, tuple(others), compare=True)

    def runs_of(self, study_id: str) -> list[RunRecord]:
        """The runs of a study; raises UnknownRun where there is none."""
        self.study(study_id)
        return list(self.store.runs_of(study_id))

    def lately(self) -> list[RunRecord]:
        """`known_runs` as they were within the last second."""
        return self._lately.runs(("", *self.visitor.names), self.known_runs)

    # --- doing -----------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job], token: str | None = None) -> str:
        """Queue one run for each job, all or none of them; returns the id of the first.

        token: of the Hub, for the workers alone; it stays in memory. Raises BadInput for a model that a run made
        whose weights are not for everybody.
        """
        return self._queueing.submit(jobs, token)

    def sweep(self, space: Space, token: str | None = None) -> Study:
        """Queue a grid of runs as one study. Raises BadInput where it is larger than this host allows."""
        return self._queueing.sweep(space, token)

    def rounding_jobs(self, records: Sequence[RunRecord]) -> tuple[Evaluate, ...]:
        """What the visitor would have measured to compare these runs with rounding; nothing where all of it was. Raises
        BadInput where they cannot be compared."""
        return rounding_jobs(records, self.lately(), self._may_measure)

    def _may_measure(self, run_id: str) -> bool:
        return self.checkpoint(run_id) is not None and self.may(Action.BUILD_ON, self.record(run_id))

    def compare_with_rounding(self, jobs: Sequence[Evaluate], token: str | None = None) -> Study:
        """Queue these jobs of `rounding_jobs` as one study."""
        return self._queueing.rounding(jobs, token)

    def search(self, wanted: Bisection, token: str | None = None) -> Study:
        """Queue the first run of a search for the highest sparsity; the launcher adds the others."""
        return self._queueing.search(wanted, token)

    def check_model(self, facts: ModelFacts) -> None:
        """Raise OverQuota for a model that is too large for this host."""
        self._admission.check_model(facts)

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
        self._queueing.stop_study(self.study(study_id))

    def resume_study(self, study_id: str) -> Study:
        """Queue again what was stopped, failed or deleted of a study."""
        return self._queueing.resume_study(self.study(study_id))

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop; a run that has ended in the meantime is left alone."""
        self._queueing.cancel(run_id)

    def delete(self, run_ids: Sequence[str]) -> None:
        """Delete ended runs, all or none; for a minute `restore` brings them back."""
        self._runs.check_may(Action.DELETE, run_ids)
        self.store.hide(run_ids)
        self._lately.forget()

    def hidden(self) -> list[Hidden]:
        """The runs whose deletion the visitor can still undo."""
        return self.store.hidden(self.visitor.listed)

    def restore(self, run_ids: Sequence[str]) -> None:
        """Undo the visitor's own deletion; raises BadInput where it is too late."""
        if not self.store.restore(run_ids, self.visitor.listed):
            raise BadInput("That was deleted more than a minute ago and cannot be brought back.")
        self._lately.forget()

    def label(self, run_id: str, **changes: Any) -> Labels:
        """Write on a run. Raises UnknownRun, BadInput."""
        self._runs.check_may(Action.LABEL, [run_id])
        return self.store.label(run_id, **changes)

    def runs_found(self, query: Query) -> tuple[list[Entry], list[Entry]]:
        """(the runs that the query asks for in its order, all of them), of those that the visitor's list shows."""
        every = self.store.entries(self.visitor.listed)
        return select(every, query), every

    def readable(self, run_ids: Sequence[str]) -> list[RunRecord]:
        """The records of these runs; one that was deleted a moment ago is left out."""
        found = (self.known(run_id) for run_id in run_ids)
        return [record for record in found if record is not None]

    def ask(self, run_id: str, question: Prompt, others: Sequence[str] = (), dense: bool = True):
        """The replies of the reader (`Reader.ask`); raises BadInput where the weights of one of the runs are not for
        everybody."""
        self._runs.check_may_ask([run_id, *others])
        tokens = question.max_tokens * (len(others) + 1 + dense)
        asker = self.visitor.name
        return self._admission.question(
            lambda: self.reader.ask(run_id, question, others, dense, asker), tokens
        )

    def score(self, run_id: str, question: Prompt, tokens: Sequence[int], others: Sequence[str] = ()):
        """The dense answer's tokens run through the models of these runs; rights and errors as in `ask`."""
        self._runs.check_may_ask([run_id, *others])
        asker = self.visitor.name
        return self._admission.question(
            lambda: self.reader.score(run_id, question, tokens, others, asker), looks=1
        )

    def keep_upload(self, path: str) -> str:
        """Keep a text that the visitor sent; returns its token. Raises PruneError, OSError."""
        self._admission.check_served()
        return uploads.keep(path, self.visitor, self.quotas)

    def check_askable(self, run_ids: Sequence[str]) -> None:
        """Raise PruneError where these runs cannot be asked together, or not by everybody."""
        self._runs.check_may_ask(run_ids)
        self.reader.check(run_ids)

    def askable_beside(self, record: RunRecord) -> dict[str, str]:
        """Run -> name of the other finished runs that pruned the same model and still have their weights."""
        return self._runs.askable_beside(record, self.lately())

    def look_inside(self, question: RunQuestion) -> Generator[Any]:
        """The replies of the inspector; raises BadInput where the run's weights are not for everybody."""
        return self._looks.look_inside(question)

    def look_at_allocation(self, question: AllocationQuestion, facts: ModelFacts) -> Generator[Any]:
        """What an allocation gives each layer of a model with these facts, by the inspector; raises PruneError where
        the visitor may not use the model, or look at no more just now."""
        return self._looks.look_at_allocation(question, facts)

    def take_look(self) -> None:
        """Count something that is worked out for the visitor at once as a look; raises PruneError where they may have
        no more just now."""
        self._admission.look()

    def seen_inside(self, question: RunQuestion) -> Answer | None:
        """What was found before, None where nothing was; raises BadInput where it is not for everybody."""
        return self._looks.seen_inside(question)

    def looked_before(self, run_id: str) -> bool:
        """Whether anything that was seen inside a run whose weights are gone is still here, and for everybody."""
        return self._looks.looked_before(run_id)

    def stop_looking(self, question: Question) -> None:
        """End the work on this question, unless somebody else waits for the answer too."""
        self._inside.stop(self.inspector, question)

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
    gguf_room.remove_left_overs(at_start=True)
    store = Store()
    quotas, hosting = Quotas.of(policy, os.environ, store.root), Hosting(store.root)
    hosting.opened()
    limits = RunLimits.of(policy, os.environ, quotas)
    check = partial(check_goes_on, store=store, quotas=quotas, hosting=hosting)
    advance = partial(bisection.advance, check=check)
    memory, most = SharedMemory(limits.together_bytes), limits.memory_bytes
    launcher = Launcher(store, advance=advance, limits=limits, paused=hosting.draining, memory=memory)
    for study in store.studies():  # a search whose last run ended while nobody looked, or that was held
        with suppress(PruneError):
            advance(store, study.id)
    launcher.start()
    return Studio(
        store,
        launcher,
        Reader(store, memory_bytes=most, quotas=quotas, memory=memory),
        policy=policy,
        inspector=Inspector(
            store, memory_bytes=most, most_seconds=limits.run_seconds, memory=memory, policy=policy
        ),
        quotas=quotas,
        votes=Votes(store.root),
        hosting=hosting,
    )
