"""What the rail asks before a run: how large is this model, and will this job work here?"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from apt_core.base.errors import BadInput, PruneError, one_sentence
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.estimate.preflight import Estimate, Rates, estimate, rates_from
from apt_core.estimate.rates import rates_here
from apt_core.estimate.tasks import check_tasks
from apt_core.jobs import Job, ModelRef, Pruning
from apt_core.jobs.parts import MAX_TEXT_NAME, RUN_PREFIX
from apt_core.models.catalogue.facts import ModelFacts, folder_facts, model_facts
from apt_core.models.fetch import hub_token
from apt_core.studies.study_estimate import in_a_row, together
from apt_core.ui.forms import missing
from apt_core.ui.studio import Studio

_KEEP_SECONDS = 20.0  # a model may be downloaded, or a folder change, while the page is open
_KEEP = 64
_TEACHERS = 30  # the newest runs, from which rates are learnt
_ALIKE = 4  # times larger or smaller: still about this size

_seen: OrderedDict[tuple[str, str], tuple[float, ModelFacts | PruneError]] = OrderedDict()
_lock = threading.Lock()


def facts_of(model: Any, policy: HostPolicy = STRICT) -> ModelFacts:
    """`model_facts` remembered for a few seconds, failures too: one keystroke, one question to the Hub."""
    name = str(model or "").strip()
    if not name:
        raise BadInput("Choose a model, or type a Hub id such as owner/name.")
    if len(name) > MAX_TEXT_NAME:
        raise BadInput("That is too long for the name of a model.")
    key = name, hub_token.fingerprint()  # one visitor may see what another may not
    found = _remembered(key)
    if found is None:
        found = _ask(name, policy)
        with _lock:
            _seen[key] = (time.monotonic(), found)
            while len(_seen) > _KEEP:
                _seen.popitem(last=False)
    if isinstance(found, PruneError):
        raise found
    return found


def facts_for(studio: Studio, model: Any) -> ModelFacts:
    """`facts_of` any model, also of what a run made (`run:<id>`); raises BadInput where that is not for everybody,
    and OverQuota where it is too large for this host."""
    name = str(model or "").strip()
    if not name.startswith(RUN_PREFIX):
        facts = facts_of(name, studio.policy)
        studio.check_model(facts)
        return facts
    run_id = name.removeprefix(RUN_PREFIX)
    studio.check_may_use(run_id)
    made = studio.store.made_by(run_id)
    return folder_facts(made.folder, name, source="run").model_copy(update={"title": made.title})


def forget() -> None:
    """A run has changed what is on the disk: ask again next time."""
    with _lock:
        _seen.clear()
    missing.forget()


def _remembered(key: tuple[str, str]) -> ModelFacts | PruneError | None:
    with _lock:
        at, found = _seen.get(key, (0.0, None))
    return found if found is not None and time.monotonic() - at < _KEEP_SECONDS else None


def _ask(name: str, policy: HostPolicy) -> ModelFacts | PruneError:
    try:
        return model_facts(ModelRef(id=name), policy)
    except PruneError as error:
        return error
    except ValidationError as error:
        return BadInput(one_sentence(error))


def estimate_of(
    studio: Studio, jobs: Sequence[Pruning], facts: ModelFacts, asked_by_results: bool = False
) -> Estimate:
    """Preflight of these runs on this machine, from the rates that were measured here where there are any.

    Counts the texts that must be fetched too, and refuses when nobody answers who has what is missing.
    """
    rates = rates_for(studio, facts)
    each = [_needs(studio, job, facts, rates) for job in jobs]
    places = studio.launcher.executor.places()
    total = together(jobs, each, facts, asked_by_results, *places)
    return total.model_copy(update={"where": studio.where})


def check(studio: Studio, job: Job, facts: ModelFacts) -> None:
    """Raise BadInput, in the words of the preflight, for a job that cannot work on this machine."""
    check_tasks(job, studio.policy)
    if refusal := _needs(studio, job, facts, rates_for(studio, facts)).refusal:
        raise BadInput(refusal)


def needs_of(studio: Studio, job: Job, facts: ModelFacts) -> Estimate:
    """The preflight of one job of any kind."""
    needs = _needs(studio, job, facts, rates_for(studio, facts))
    return needs.model_copy(update={"where": studio.where})


def needs_of_all(studio: Studio, jobs: Sequence[Job]) -> Estimate:
    """The preflight of jobs that only measure, each of its own model, one after another."""
    return in_a_row([needs_of(studio, job, facts_for(studio, job.model.id)) for job in jobs])


def _needs(studio: Studio, job: Job, facts: ModelFacts, rates: Rates | None) -> Estimate:
    rates = rates or rates_here(job.resources.dtype)
    rates = rates.begun_warm() if studio.launcher.warm else rates
    needs = estimate(job, facts, rates, studio.policy)
    return needs.model_copy(
        update={
            "download_bytes": needs.download_bytes + missing.bytes_to_come(job),
            "refusal": needs.refusal or missing.sentence_of(job, facts, studio.policy),
        }
    )


def rates_for(studio: Studio, facts: ModelFacts) -> Rates | None:
    """What finished runs of about this size measured on this machine; None where there were none.

    A tiny model says nothing about a large one: its seconds are all overhead.
    """
    rates: Rates | None = None
    for record in reversed(studio.store.list(limit=_TEACHERS)):
        if record.finished and record.model and _alike(record.model.prunable, facts.prunable):
            rates = rates_from(record, rates)
    return rates


def _alike(one: int, other: int | None) -> bool:
    return other is not None and other / _ALIKE <= one <= other * _ALIKE
