"""What the runs of a sweep say together: their curves over sparsity, the knee of one, the Pareto front. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.jobs.kinds import prunes

_LEAST_BEND = 0.1  # of the curve's height, for a knee to be called one


class Point(NamedTuple):
    """A finished run in figures. seconds: of pruning. memory: bytes that its process held at most. packed: bytes of its
    weights as a bit mask and kept values, None where they were not counted."""

    run: str
    label: str
    series: str
    sparsity: float
    perplexity: float
    seconds: float
    memory: int
    packed: int | None = None


class Knee(NamedTuple):
    """Where a curve turns upwards, and how far below the straight line it lies there, as a share of its height."""

    point: Point
    bend: float


def sweep_of(shown: RunRecord, others: Iterable[RunRecord]) -> tuple[RunRecord, ...]:
    """The runs of the shown run's study that prune, oldest first; none for a run of no study."""
    if not shown.study:
        return ()
    found = {run.id: run for run in (shown, *others) if run.study == shown.study}
    return tuple(sorted((run for run in found.values() if prunes(run.job)), key=lambda run: run.id))


def points_of(records: Iterable[RunRecord]) -> list[Point]:
    """One for each run that has finished with a perplexity."""
    records = list(records)
    named = [
        Point(
            record.id,
            record.job.label,
            series,
            record.finished.sparsity if record.finished.sparsity is not None else 0.0,
            record.pruned.perplexity,
            record.finished.seconds.get("prune", record.finished.seconds.get("total", 0.0)),
            record.finished.peak_rss_bytes,
            size.packed if (size := record.size_of("pruned")) else None,
        )
        for record, series in zip(records, _series(records), strict=True)
        if record.finished and record.pruned
    ]
    return sorted(named, key=lambda point: (point.series, point.sparsity, point.run))


def _series(records: Sequence[RunRecord]) -> list[str]:
    """'APT', 'APT · seed 1': the method and what else differs between these runs beside the pattern."""
    jobs = [record.pruning for record in records]
    parts = [[job.method.label, *(["N:M"] if job.pattern.kind == "n:m" else [])] for job in jobs]
    asked: tuple[tuple[str, Callable[[Prune], int]], ...] = (
        ("seed", lambda job: job.seed),
        ("windows", lambda job: job.calibration.samples),
    )
    for word, value in asked:
        if len({value(job) for job in jobs}) > 1:
            for part, job in zip(parts, jobs, strict=True):
                part.append(f"{word} {value(job)}")
    return [" · ".join(part) for part in parts]


def curves(points: Iterable[Point]) -> dict[str, list[Point]]:
    """Series -> its points by sparsity."""
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.series, []).append(point)
    return {series: sorted(own, key=lambda point: point.sparsity) for series, own in found.items()}


def knee(dense: float, curve: Sequence[Point]) -> Knee | None:
    """The point farthest below the straight line from the dense model to the curve's last point, in sparsity against
    the logarithm of perplexity (after Satopaa et al. 2011, "Finding a Kneedle in a Haystack").

    None where fewer than two points lie below the last, perplexity does not rise, or nothing bends by a tenth.
    """
    if len(curve) < 3 or curve[-1].perplexity <= dense or curve[-1].sparsity <= 0:
        return None
    last, height = curve[-1], math.log(curve[-1].perplexity / dense)
    bends = [
        Knee(point, point.sparsity / last.sparsity - math.log(point.perplexity / dense) / height)
        for point in curve[:-1]
    ]
    best = max(bends, key=lambda found: found.bend)
    return best if best.bend >= _LEAST_BEND else None


def front(points: Iterable[Point], cost: Callable[[Point], float]) -> list[Point]:
    """The points that no other beats in both perplexity and cost, the cheapest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda one: (cost(one), one.perplexity)):
        if not best or point.perplexity < best[-1].perplexity:
            best.append(point)
    return best
