"""Whom this host serves, and with how much: asked before anything is started, asked or kept for a visitor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from apt_core.base.policy import LOCAL, HostPolicy
from apt_core.jobs import Job
from apt_core.jobs.study import Study
from apt_core.models.catalogue.facts import ModelFacts, model_facts
from apt_core.runs import owners
from apt_core.runs.hosting import Hosting
from apt_core.runs.owners import Visitor
from apt_core.runs.quotas import Quotas
from apt_core.runs.store import Store
from apt_core.runs.usage import Usage


class Admission(NamedTuple):
    """Of one visitor. hosting: None where nobody decides whom the host serves."""

    visitor: Visitor
    usage: Usage
    hosting: Hosting | None

    def check_served(self) -> None:
        """Raise PruneError for a stranger, and for a visitor whom the host does not serve (any more)."""
        owners.check_known(self.visitor)
        if self.hosting is not None:
            self.hosting.check_serves(self.visitor)

    def check_accepted(self) -> None:
        """The same, and where the host accepts no run just now."""
        owners.check_known(self.visitor)
        if self.hosting is not None:
            self.hosting.check_accepts(self.visitor)

    def check_models(self, jobs: Sequence[Job], policy: HostPolicy) -> None:
        """Raise OverQuota for a model that is too large for this host. The Hub is asked how large a model is only
        where this host has a limit."""
        quotas = self.usage.quotas
        if self.visitor.everything or (quotas.model_gb is None and quotas.model_blocks is None):
            return
        for model in {job.model for job in jobs if job.model.run is None}:
            self.check_model(model_facts(model, policy))

    def check_model(self, facts: ModelFacts) -> None:
        """Raise OverQuota for a model that is too large for this host."""
        self.usage.check_model(self.visitor, facts)

    def look(self) -> None:
        """Count a look of the visitor; raises PruneError where they may have no more just now."""
        if not self.visitor.everything:
            self.check_served()
            self.usage.look(self.visitor)

    def question(self, asking: Callable[[], Any], tokens: int = 0, looks: int = 0) -> Any:
        """The replies to a question of the visitor; raises PruneError where they may ask no more just now."""
        if self.visitor.everything:
            return asking()
        self.check_served()
        return self.usage.question(self.visitor, asking, tokens, looks)


def check_goes_on(study: Study, store: Store, quotas: Quotas, hosting: Hosting) -> None:
    """Raise PruneError where this host takes no further run of a search that one of its visitors has started. How many
    it may take was counted then."""
    if study.owner == LOCAL:
        return
    visitor = Visitor(names=(study.owner,))
    hosting.check_accepts(visitor)
    Usage(quotas).check_disk(visitor, store)
