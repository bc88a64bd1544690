"""Which points of recoveries one law is fitted to: curves of one learning-rate schedule, else final losses. No torch.

A law speaks of models that were trained for D tokens. While the learning rate is still high a loss is above that of a
shorter training that has ended there, so points along schedules of different length are not points of one law. With one
schedule the curves are comparable, and the law is that of the schedule; with several, the final losses are, each of a
schedule that came to its end. Where these are too few, the schedule with the most points stands alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from apt_core.base.errors import BadInput
from apt_core.base.words import percent
from apt_core.events.records import RunRecord
from apt_core.jobs.kinds import trains
from apt_core.measure.power_law import Point, form_for
from apt_core.studies.law_groups import Known

FINAL, ALONG = "final losses", "curves"


class Stretch(NamedTuple):
    """A part of a training under one plan of the learning rate: as many steps, this share of them to warm up."""

    steps: int
    warm_up: float


_UNKNOWN = Stretch(0, 0.0)
Schedule = tuple[Stretch, ...]  # several where a recovery was resumed with another plan


class Chosen(NamedTuple):
    """curves: of comparable models, each with its points in order. used: `FINAL` or `ALONG`. runs: whose points these
    are. schedules: of all recoveries. left_out: a sentence for each run that has no point here."""

    curves: tuple[tuple[Point, ...], ...]
    used: str
    runs: tuple[str, ...]
    schedules: tuple[Schedule, ...]
    left_out: tuple[str, ...] = ()

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(point for curve in self.curves for point in curve)


def chosen_of(records: Sequence[RunRecord], known: Known) -> Chosen:
    """The points of recoveries that share a law. known: the runs that these resumed."""
    of_runs = {record.id: schedule_of(record, known) for record in records}
    schedules = tuple(dict.fromkeys(of_runs.values()))
    if len(schedules) == 1:
        return _along(records, schedules)
    ended = [record for record in records if _ended(record, of_runs[record.id])]
    final = tuple(points_of(record)[-1] for record in ended)
    if _enough(final):
        said = tuple(_no_end(record) for record in records if record not in ended)
        return Chosen(_by_model(final), FINAL, tuple(one.id for one in ended), schedules, said)
    most = max(schedules, key=lambda one: _size(one, records, of_runs))
    alike = [record for record in records if of_runs[record.id] == most]
    others = [record for record in records if of_runs[record.id] != most]
    said = tuple(_other_schedule(record.id, of_runs[record.id], most) for record in others)
    return _along(alike, schedules)._replace(left_out=said)


def points_of(record: RunRecord) -> list[Point]:
    """The curve behind the warm-up."""
    began = record.training
    if began is None:
        return []
    return [
        Point(
            run=record.id,
            tokens=one.tokens,
            loss=one.held_out,
            parameters=began.model_parameters,
            sparsity=share_gone(record),
            dense_loss=began.dense_loss,
        )
        for one in record.steps
        if one.step > began.warm_up
    ]


def share_gone(record: RunRecord) -> float:
    """Which share of the dense model's parameters is gone when a recovery begins, as zeros or with whole structures."""
    began, opened = record.training, record.model
    if began is None:
        return 0.0
    if opened is None:  # before it was opened there is no curve; recorded curves have no more than this
        return began.sparsity
    zeros = began.sparsity * opened.prunable
    return 1 - (opened.parameters - zeros) / began.model_parameters


def schedule_of(record: RunRecord, known: Known) -> Schedule:
    """The plans under which a recovery was trained, those of the runs that it resumed first."""
    began, job = record.training, record.job
    if began is None or not trains(job):
        return ()
    before: Schedule = ()
    if began.step and job.resume is not None:
        earlier = known(job.resume)
        before = schedule_of(earlier, known) if earlier is not None else (_UNKNOWN,)
    trained = any(one.step > began.step for one in record.steps)
    own = Stretch(began.steps, job.warm_up)
    if before and (not trained or before[-1] == own):
        return before
    return (*before, own)


def used_sentence(chosen: Chosen) -> str:
    """Which points the law was fitted to, and why these."""
    runs = len(chosen.runs)
    said = _all_said(chosen.schedules)
    if chosen.used == FINAL:
        return (
            f"Fitted to the final losses of {runs} recoveries, because their learning-rate schedules differ ({said}): "
            "where a short schedule has ended, the learning rate of a longer one is still high and so is its loss, so "
            "points along such curves do not belong to one law."
        )
    curves = "the curve of one recovery" if runs == 1 else f"the curves of {runs} recoveries"
    if len(chosen.schedules) == 1:
        shared = "" if runs == 1 else ", which share a learning-rate schedule"
        return f"Fitted to {curves}{shared} ({said}), after the warm-up."
    return (
        f"Fitted to {curves} of one learning-rate schedule, after the warm-up; the schedules differ ({said}), and "
        "final losses alone are too few for a law."
    )


def _along(records: Sequence[RunRecord], schedules: tuple[Schedule, ...]) -> Chosen:
    curves = tuple(tuple(points_of(record)) for record in records)
    return Chosen(curves, ALONG, tuple(record.id for record in records), schedules)


def _ended(record: RunRecord, schedule: Schedule) -> bool:
    """Whether a recovery came to the end of the one plan that it was trained under."""
    return len(schedule) == 1 and bool(points_of(record)) and record.steps[-1].step == schedule[0].steps


def _enough(final: Sequence[Point]) -> bool:
    """Whether these points can carry the constants of their form, with one more length than a straight line has."""
    if len({one.tokens for one in final}) < 3:
        return False
    try:
        return len(final) >= len(form_for(final).constants) + 2
    except BadInput:
        return False


def _by_model(final: Iterable[Point]) -> tuple[tuple[Point, ...], ...]:
    """The final losses of recoveries of alike models, in the order of their tokens."""
    found: dict[tuple[float, float], list[Point]] = {}
    for point in sorted(final, key=lambda one: one.tokens):
        found.setdefault((point.parameters, round(point.sparsity, 3)), []).append(point)
    return tuple(map(tuple, found.values()))


def _size(schedule: Schedule, records: Sequence[RunRecord], of_runs: dict[str, Schedule]) -> tuple[int, int]:
    """(points, steps) of a schedule: the most points count, then the longest."""
    points = sum(len(points_of(record)) for record in records if of_runs[record.id] == schedule)
    return points, schedule[-1].steps if schedule else 0


def _no_end(record: RunRecord) -> str:
    return f"{record.id} is left out: it did not come to the end of one schedule, so it has no final loss."


def _other_schedule(run_id: str, schedule: Schedule, most: Schedule) -> str:
    return f"{run_id} is left out: its schedule ({_said(schedule)}) is not that of the most points ({_said(most)})."


def _all_said(schedules: Sequence[Schedule]) -> str:
    """'50, 100 and 200 steps with 3% warm-up' of plain ones, else each in full."""
    first = schedules[0]
    plain = all(
        len(one) == 1 and one[0].warm_up == first[0].warm_up and one[0] != _UNKNOWN for one in schedules
    )
    if len(schedules) == 1 or not plain:
        return "; ".join(map(_said, schedules))
    *steps, last = (f"{steps:,}" for steps in sorted(one[0].steps for one in schedules))
    return f"{', '.join(steps)} and {last} steps with {percent(first[0].warm_up)} warm-up"


def _said(schedule: Schedule) -> str:
    """'200 steps with 3% warm-up', 'a plan that is not known, then 400 steps with 3% warm-up'"""
    return ", then ".join(
        f"{one.steps:,} step{'s' if one.steps > 1 else ''} with {percent(one.warm_up)} warm-up"
        if one != _UNKNOWN
        else "a plan that is not known"
        for one in schedule or (_UNKNOWN,)
    )
