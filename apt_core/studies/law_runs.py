"""Which recoveries a law is asked of: those that are named, and those that were made from what is named. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from apt_core.events.records import RunRecord
from apt_core.jobs.kinds import trains

Children = Callable[[str], list[RunRecord]]  # the runs whose model that run made


def recoveries_of(records: Iterable[RunRecord], children: Children) -> list[RunRecord]:
    """A recovery stands for itself; any other run for the recoveries that go back to it.

    Of a recovery that stopped and the one that went on from it the second alone: it has the points of both.
    """
    found: dict[str, RunRecord] = {}
    for record in records:
        own = [record] if trains(record.job) else _below(record, children)
        found |= {one.id: one for one in own}
    gone_on_from = {one.job.resume for one in found.values() if trains(one.job) and one.steps}
    return [one for one in found.values() if one.id not in gone_on_from]


def _below(record: RunRecord, children: Children) -> list[RunRecord]:
    """The recoveries with a curve among the runs that go back to this one."""
    found: list[RunRecord] = []
    waiting = [record]
    while waiting:
        below = children(waiting.pop(0).id)
        found += [one for one in below if trains(one.job) and one.steps]
        waiting += below
    return found
