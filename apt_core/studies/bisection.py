"""A search for the highest sparsity within a bound: a study whose next run depends on the results so far. No torch.

Whole percent are tried. What passes counts as the lower end, what fails as the upper one (0% and 100% before anything
is known), and the middle is next. When both ends are close enough, one more run half-way to the next failure above
looks whether perplexity really grows with sparsity; the largest sparsity that passed is the answer in any case. A run
whose model predicts no finite numbers has failed to pass; any other that did not finish holds the search up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from apt_core.base.errors import BadInput, PruneError
from apt_core.base.patterns import Unstructured
from apt_core.base.policy import LOCAL
from apt_core.base.words import times
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.study import Study
from apt_core.runs.launcher import Launcher
from apt_core.runs.making import must_be_renewed
from apt_core.runs.store import Store
from apt_core.studies.ratios import Ratio, interval_words, ratio_to_dense
from apt_core.studies.sweep import BISECTION

MOST_RUNS = 8  # 7 halve 100% down to 1%, one looks above


class Ask(NamedTuple):
    """The next job to run."""

    job: Prune


class Wait(NamedTuple):
    """Nothing to ask for now: a run waits or works, or (then `reason` says it) the search was stopped, or this host
    did not take its next run."""

    reason: str = ""


class Found(NamedTuple):
    """The search is over. percent: the most that passed, None when nothing did. sentence: the answer in words. against:
    what it has over the dense perplexity."""

    percent: int | None
    run: str | None
    sentence: str
    against: Ratio | None = None


class _Tried(NamedTuple):
    """ratio: infinite where the model predicts no finite numbers, which have no interval."""

    percent: int
    ratio: float
    run: str
    against: Ratio | None = None


def first_job(search: Bisection) -> Prune:
    """Half of the weights."""
    return _at(search, 50)


def next_job(study: Study, records: Iterable[RunRecord]) -> Ask | Wait | Found:
    """What follows from the records of the study's runs that are known so far, as long as this host takes it."""
    step = _step(study, records)
    return Wait(study.held) if study.held and isinstance(step, Ask) else step


def _step(study: Study, records: Iterable[RunRecord]) -> Ask | Wait | Found:
    """The same, whatever this host takes."""
    search = _search_of(study)
    known = {record.id: record for record in records}
    tried = [one for run in study.runs if (one := _result(known.get(run)))]
    for run in study.runs:
        if must_be_renewed(study, record := known.get(run)):
            stands = f"Run {run} did not finish, so the search is paused; resume it to continue."
            return Wait(" ".join(filter(None, (stands, _so_far(tried, search)))))
        if _result(record) is None:
            return Wait()
    if (percent := _next_percent(tried, search)) is None or len(tried) >= MOST_RUNS:
        return _answer(tried, search)
    return Ask(_at(search, percent))


def _result(record: RunRecord | None) -> _Tried | None:
    """What a run says about its sparsity; None while that is not known."""
    if record is None or not (record.status == "finished" or record.lost_its_predictions):
        return None
    percent = round(100 * record.pruning.pattern.sparsity)
    if record.lost_its_predictions:
        return _Tried(percent, math.inf, record.id)
    against = ratio_to_dense(record)
    return _Tried(percent, against.ratio, record.id, against) if against else None


def _so_far(tried: list[_Tried], search: Bisection) -> str:
    """The best that a search has found which stands still; empty for nothing."""
    passed = [one for one in tried if one.ratio <= search.within]
    if not passed:
        return ""
    best = max(passed, key=lambda one: one.percent)
    return f"So far {best.percent}% is the most that passed ({times(best.ratio)}, run {best.run})."


def _next_percent(tried: list[_Tried], search: Bisection) -> int | None:
    """The middle of what is left open; once that is close enough, one look above it; None after that."""
    if tried and _is_close(tried[:-1], search):
        return None  # the last one was that look
    low, high = _ends(tried, search)
    if not _is_close(tried, search):
        return (low + high) // 2
    beyond = min((one.percent for one in tried if one.percent > high), default=100)
    return (high + beyond) // 2 if beyond - high > 1 else None


def _ends(tried: list[_Tried], search: Bisection) -> tuple[int, int]:
    """The most that passed, and the least that failed above it."""
    low = max((one.percent for one in tried if one.ratio <= search.within), default=0)
    return low, min((one.percent for one in tried if one.percent > low), default=100)


def _is_close(tried: list[_Tried], search: Bisection) -> bool:
    low, high = _ends(tried, search)
    return high - low <= round(100 * search.tolerance)


def _answer(tried: list[_Tried], search: Bisection) -> Found:
    passed = [one for one in tried if one.ratio <= search.within]
    bound = f"within {times(search.within)} of the dense perplexity"
    if not passed:
        least = min(tried, key=lambda one: one.percent)
        end = f"it is {times(least.ratio)}" if math.isfinite(least.ratio) else "nothing is predicted any more"
        said = f"No sparsity that was tried stays {bound}; at {least.percent}% {end}."
        return Found(None, None, said)
    best = max(passed, key=lambda one: one.percent)
    said = f"{best.percent}% is the highest sparsity found {bound} ({_with_interval(best)}).{_beyond(best, search)}"
    if below := [one for one in tried if one.ratio > search.within and one.percent < best.percent]:
        failed = ", ".join(f"{percent}%" for percent in sorted(one.percent for one in below))
        said += f" Perplexity does not simply grow with sparsity here: {failed} failed, and removes less."
    return Found(best.percent, best.run, said, best.against)


def _with_interval(best: _Tried) -> str:
    between = interval_words(best.against) if best.against else ""
    return f"{times(best.ratio)}, {between}" if between else times(best.ratio)


def _beyond(best: _Tried, search: Bisection) -> str:
    """What the windows leave open about the answer."""
    high = best.against.high if best.against else None
    if high is None or high <= search.within:
        return ""
    return " The interval reaches beyond the bound: on other windows it may not pass."


def _at(search: Bisection, percent: int) -> Prune:
    return search.base.model_copy(update={"pattern": Unstructured(sparsity=percent / 100)})


def _search_of(study: Study) -> Bisection:
    if study.bisection is None:
        raise BadInput(f"Study {study.id} is a {study.kind}, not a search for a sparsity.")
    return study.bisection


def start(launcher: Launcher, search: Bisection, token: str | None = None, owner: str = LOCAL) -> Study:
    """Queue the first run of a search."""
    return launcher.submit_study(BISECTION, [first_job(search)], token, search, owner)


def advance(store: Store, study_id: str, check: Callable[[Study], None] = lambda study: None) -> bool:
    """Queue the next run of a search where its results ask for one; whether it did. Any other study is left alone.

    check: raises PruneError where this host takes no further run of the study; the sentence is kept in the study.
    Any process may call it at any time: of two that know the same results one adds the run.
    """
    study = store.study(study_id)
    if study.kind != BISECTION:
        return False
    step = _step(study, store.runs_of(study_id))
    if not isinstance(step, Ask):
        return False
    try:
        check(study)
    except PruneError as refusal:
        store.hold_study(study, str(refusal))
        return False
    return store.extend_study(study, step.job) is not None


def result_json(study: Study, records: Iterable[RunRecord]) -> dict[str, Any]:
    """What a search has found so far."""
    step, search = next_job(study, records), _search_of(study)
    found = step if isinstance(step, Found) else None
    return {
        "within": search.within,
        "sparsity": found.percent / 100 if found and found.percent is not None else None,
        "run": found.run if found else None,
        "sentence": found.sentence if found else None,
        "ratio": found.against.model_dump() if found and found.against else None,
    }
