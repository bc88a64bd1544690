"""Looks inside runs, and at allocations before a run, for one visitor, whose rights and quotas are asked first."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from apt_core.base.errors import BadInput
from apt_core.measure.inside.questions import AllocationQuestion, Answer, Question, RunQuestion
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.reports.samples import Sample
from apt_core.ui.admission import Admission
from apt_core.ui.shared_looks import SharedLooks
from apt_core.ui.visible_runs import VisibleRuns


class Looks(NamedTuple):
    """Each method is the one of the studio that has its name; that one says what it promises."""

    runs: VisibleRuns
    admission: Admission
    inspector: Any
    shared: SharedLooks
    recorded: Mapping[str, Sample]

    def look_inside(self, question: RunQuestion) -> Generator[Any]:
        self.runs.check_may_use(question.run)
        return self._replies(question)

    def look_at_allocation(self, question: AllocationQuestion, facts: ModelFacts) -> Generator[Any]:
        self.runs.check_may_build_on(question.job)
        self.admission.check_model(facts)
        if self.runs.policy.public and facts.members_only:
            raise BadInput(
                "This model is only for accounts that accepted its terms, and a look before a run is for everybody; "
                "start the run, which shows what each layer was given."
            )
        return self._replies(question)

    def seen_inside(self, question: RunQuestion) -> Answer | None:
        self.runs.check_may_use(question.run)
        if sample := self.recorded.get(question.run):
            return next((one for one in sample.inside if one.kind == question.kind), None)
        found: Answer | None = self.inspector.kept(question)
        return found

    def looked_before(self, run_id: str) -> bool:
        if run_id in self.runs.samples or self.runs.withholds(run_id):
            return False
        return bool(self.inspector.keeps_any(run_id))

    def _replies(self, question: Question) -> Generator[Any]:
        looks = 0 if self.inspector.kept(question) else 1  # what was found before costs nothing
        asking, asker = self.shared.replies, self.admission.visitor.name
        replies: Generator[Any] = self.admission.question(
            lambda: asking(self.inspector, question, asker), looks=looks
        )
        return replies
