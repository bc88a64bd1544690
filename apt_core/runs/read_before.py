"""Texts that a model has seen in the runs that made it, and that are measured again: the figures are flattered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from apt_core.base.errors import PruneError
from apt_core.events import Event, Restarted, Warned
from apt_core.events.records import RunRecord
from apt_core.jobs import Evaluation, Job
from apt_core.runs.store import Store
from apt_core.texts.overlap import overlap
from apt_core.texts.titles import text_title


def warnings_of(store: Store, run_id: str) -> list[Warned]:
    """One for each evaluation text that an earlier run of the lineage was calibrated or trained on."""
    job = store.get(run_id).job
    found = {
        (before.id, measured.text)
        for before in _ancestors(store, job)
        for read in _chosen_on(before.job)
        for measured in job.evaluation
        if overlap(read, measured.text, together=False)
    }
    return [
        Warned(
            message=f"Run {before}, which made this model, has read {text_title(text)} already, so the perplexity on "
            "it is flattered; choose another evaluation text."
        )
        for before, text in sorted(found)
    ]


def said_again(store: Store, run_id: str, events: Iterable[Event]) -> Iterator[Event]:
    """These events, with the warnings after each beginning anew, which makes a reader forget what came before."""
    for event in events:
        yield event
        if isinstance(event, Restarted):
            with suppress(PruneError):  # the work itself says what is wrong with the store
                yield from warnings_of(store, run_id)


def _ancestors(store: Store, job: Job) -> Iterator[RunRecord]:
    """The runs that made the job's model, the last one first, as far as they are known."""
    parent = job.model.run
    while parent is not None:
        try:
            record = store.get(parent)
        except PruneError:  # deleted
            return
        yield record
        parent = record.job.model.run


def _chosen_on(job: Job) -> Iterator[str]:
    """The texts that decided what became of the model."""
    yield from (read.text for read in job.reads if not isinstance(read, Evaluation))
