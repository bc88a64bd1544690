"""Which recoveries a law is asked of: those that are named, and those that were made from what is named. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from apt_core.events.records import RunRecord
from apt_core.jobs.kinds import trains

Children = Callable[[str], list[RunRecord]]  # the runs whose model that run made


def recoveries_of(records: Iterable[RunRecord], children: Children) -> list[RunRecord]:
    """A recovery stands for itself; any other run for the recoveries that go back to it.

    Of a recovery that stopped and those that went on from it the longest alone: it has the points of all.
    """
    found: dict[str, RunRecord] = {}
    for record in records:
        own = [record] if trains(record.job) else _below(record, children)
        found |= {one.id: one for one in own}
    longest: dict[str, RunRecord] = {}  # the run that was stopped -> what went on from it
    for one in found.values():
        if trains(one.job) and one.job.resume is not None and one.steps:
            before = longest.setdefault(one.job.resume, one)
            longest[one.job.resume] = max(before, one, key=lambda each: each.steps[-1].step)
    return [one for one in found.values() if one.id not in longest and _stays(one, longest)]


def _stays(record: RunRecord, longest: Mapping[str, RunRecord]) -> bool:
    """Whether no longer run went on from where this one did."""
    resumed = record.job.resume if trains(record.job) and record.steps else None
    return resumed is None or longest[resumed] == record


def _below(record: RunRecord, children: Children) -> list[RunRecord]:
    """The recoveries with a curve among the runs that go back to this one."""
    found: list[RunRecord] = []
    waiting = [record]
    while waiting:
        below = children(waiting.pop(0).id)
        found += [one for one in below if trains(one.job) and one.steps]
        waiting += below
    return found
