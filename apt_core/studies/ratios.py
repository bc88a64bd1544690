"""The ratio of two perplexities that one run measured on the same windows, with its paired interval. No torch."""

from __future__ import annotations

from collections.abc import Iterable

from apt_core.base.values import Frozen
from apt_core.base.words import number, times
from apt_core.events import Evaluated
from apt_core.events.records import RunRecord
from apt_core.studies.paired import bounded_exp, paired_difference
from apt_core.studies.rounded import on_the_same_windows


class Ratio(Frozen):
    """Of the perplexities, other / first. low, high: 95% by the differences window by window; None where the losses of
    the windows were not kept, and of one window."""

    ratio: float
    low: float | None = None
    high: float | None = None


def ratio_of(first: Evaluated, other: Evaluated) -> Ratio:
    ratio = other.perplexity / first.perplexity
    if not len(first.losses) == len(other.losses) > 1:
        return Ratio(ratio=ratio)
    found = paired_difference(first.losses, other.losses)
    low, high = (None if end is None else bounded_exp(end) for end in (found.low, found.high))
    return Ratio(ratio=ratio, low=low, high=high)


def ratio_to_dense(record: RunRecord) -> Ratio | None:
    """What the run made over the dense model, on the first text; None before both are measured."""
    if record.dense is None or record.made is None:
        return None
    return ratio_of(record.dense, record.made)


def interval_words(found: Ratio) -> str:
    """'95% CI 1.12 to 1.17'; empty where there is no interval."""
    if found.low is None or found.high is None:
        return ""
    return f"95% CI {number(found.low)} to {number(found.high)}"


def ratio_words(found: Ratio | None) -> str:
    """'1.14 × (1.12 to 1.17)'"""
    if found is None or found.low is None or found.high is None:
        return times(found.ratio if found else None)
    return f"{times(found.ratio)} ({number(found.low)} to {number(found.high)})"


def ratio_among(record: RunRecord, others: Iterable[RunRecord]) -> Ratio | None:
    """The ratio to the dense model; of a run that only measures a model, such as a rounded one, to the dense model of
    another run that read the same windows. None where nobody did."""
    if (own := ratio_to_dense(record)) is not None or len(record.job.subjects) > 1:
        return own
    for other in others:
        if other.dense is None or not (other.job.model == record.job.model or record.made_from == other.id):
            continue
        if found := on_the_same_windows(other, record):
            return ratio_of(other.dense, found.made)
    return None
