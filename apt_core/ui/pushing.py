"""What one visitor pushes to the Hub: their rights, their account and the quotas are asked first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord
from apt_core.models.fetch import hub
from apt_core.reports import push as hub_push
from apt_core.reports.export import Exported, card_of
from apt_core.reports.names import slug, what_was_done
from apt_core.reports.run_words import run_title
from apt_core.runs.owners import Action
from apt_core.ui.admission import Admission
from apt_core.ui.pushes import Push, Pushes
from apt_core.ui.visible_runs import VisibleRuns

_AGAIN = "try again"
_LONGEST = 96  # characters that the Hub allows a name with its owner


class Pushing(NamedTuple):
    """known: a run that the visitor may read, None where there is none."""

    runs: VisibleRuns
    admission: Admission
    pushes: Pushes
    known: Callable[[str], RunRecord | None]

    def offered(self, record: RunRecord) -> bool:
        """Whether the visitor may push what this run made, and it is here."""
        policy = self.runs.policy
        made = record.status == "finished" and self.runs.checkpoint(record.id) is not None
        return made and (policy.signs_in or not policy.public) and self.runs.may(Action.PUSH, record)

    def of(self, record: RunRecord) -> Push | None:
        """How the last push of this run's model stands; None for other visitors, and where there was none."""
        return self.pushes.of(record.id) if self.runs.may(Action.PUSH, record) else None

    def proposed(self, record: RunRecord) -> str:
        """A name for its repository: 'smollm2-135m-instruct-apt-2-4'."""
        title = slug(run_title(record, self.known))
        return f"{title}-{what_was_done(record.job)}"

    def proposed_whole(self, record: RunRecord) -> str:
        """The same in the visitor's own namespace. Raises PruneError where nobody is signed in."""
        return self.whole_name(self.proposed(record))[:_LONGEST].rstrip("-.")

    def whole_name(self, name: str) -> str:
        """OWNER/NAME; without an owner it is in the visitor's own namespace. Raises PruneError where nobody is signed
        in."""
        return name if "/" in name else f"{hub_push.account(self.runs.policy)}/{name}"

    def begin(self, run_id: str, repo: str, private: bool, replace: bool = False) -> None:
        """Make the repository, and send the model there in the background.

        Raises CannotWrite where it exists already, unless `replace`; PruneError where it cannot begin.
        """
        policy = self.runs.policy
        self.admission.check_served()
        self.runs.check_may(Action.PUSH, [run_id])
        self.runs.check_may_use(run_id)
        model = self._model(run_id)
        hub_push.check_may_push(repo, policy)
        with self.admission.usage.pushing(self.admission.visitor):
            self.pushes.check_room(run_id)
            hub_push.make_repository(repo, policy, replace, private, _AGAIN)
            hub.draw_no_bars()
            self.pushes.begin(run_id, repo, lambda watch: hub_push.upload(model, repo, policy, watch, _AGAIN))

    def _model(self, run_id: str) -> Exported:
        record, folder = self.runs.record(run_id), self.runs.checkpoint(run_id)
        if folder is None or record.status != "finished":
            raise BadInput("This run has no pruned weights (any more), so there is nothing to push.")
        return Exported(record, run_title(record, self.known), folder, partial(card_of, record, self.known))
