"""A sweep: the runs of a grid of jobs, one row each. No torch.

A sweep is a stored study of the kind `SWEEP`, whose jobs are those of its `jobs.space.Space`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.jobs.kinds import prunes
from apt_core.jobs.study import Study
from apt_core.runs.making import must_be_renewed

SWEEP = "sweep"
BISECTION = "bisection"
_KINDS = (SWEEP, BISECTION)


class Row(NamedTuple):
    """One run of a sweep in figures; None for what is not known. record: None once the run has been deleted."""

    run: str
    job: Prune
    record: RunRecord | None

    @property
    def status(self) -> str:
        return self.record.status if self.record else "deleted"

    @property
    def perplexity(self) -> float | None:
        return self.record.pruned.perplexity if self.record and self.record.pruned else None

    @property
    def ratio(self) -> float | None:
        return self.record.ratio if self.record else None

    @property
    def worked(self) -> tuple[float, float] | None:
        """When its worker started and when the last figure came; None before it has finished."""
        record = self.record
        if record is None or record.finished is None or record.started_at is None or record.ended_at is None:
            return None
        return record.started_at, record.ended_at

    @property
    def seconds(self) -> float | None:
        """From the start of its worker to the last figure; None before it has finished."""
        return self.worked[1] - self.worked[0] if self.worked else None

    @property
    def alone(self) -> float | None:
        """The same with the stages whose results it took from other runs, as those measured them, and with importing
        the libraries where that was spared."""
        if self.seconds is None or self.record is None or self.record.finished is None:
            return None
        return self.seconds + sum(self.record.finished.spared.values())

    @property
    def failure(self) -> str | None:
        return self.record.failure.message if self.record and self.record.failure else None


def rows_of(study: Study, records: Iterable[RunRecord]) -> list[Row]:
    """A row for every run of the study that prunes, in its order."""
    found = {record.id: record for record in records}
    return [
        Row(run, job, found.get(run)) for run, job in zip(study.runs, study.jobs, strict=True) if prunes(job)
    ]


def check_is_sweep(study: Study) -> None:
    """Raise BadInput for a study that is no sweep and no search for a sparsity."""
    if study.kind not in _KINDS:
        raise BadInput(f"Study {study.id} is a {study.kind}, not a sweep.")


def live(rows: Sequence[Row]) -> bool:
    """Whether any of the runs waits or works."""
    return any(row.record is not None and row.record.live for row in rows)


def can_go_on(study: Study, rows: Sequence[Row]) -> bool:
    """Whether `Store.renew_study` would queue anything."""
    return any(must_be_renewed(study, row.record) for row in rows)


def total_seconds(rows: Iterable[Row]) -> dict[str, float]:
    """total: in which finished runs worked, what several did side by side counted once. alone: what they would have
    taken singly, by the measured stages: every stage whose result was reused counted for each run that used it; of
    runs side by side the stages are as long as sharing the cores made them."""
    finished = [row for row in rows if row.seconds is not None and row.alone is not None]
    return {
        "total": round(sum(row.seconds or 0.0 for row in finished) - _side_by_side(finished), 3),
        "alone": round(sum(row.alone or 0.0 for row in finished), 3),
    }


def worked_side_by_side(rows: Iterable[Row]) -> bool:
    """Whether runs of it shared the machine, so that each took longer than it would have alone."""
    return _side_by_side(rows) > 0


def _side_by_side(rows: Iterable[Row]) -> float:
    """Seconds by which the runs' own times add up to more than the time in which any of them worked."""
    beside, busy_until = 0.0, float("-inf")
    for begun, ended in sorted(row.worked for row in rows if row.worked):
        beside += max(0.0, min(ended, busy_until) - begun)
        busy_until = max(busy_until, ended)
    return beside


def sweep_json(study: Study, rows: Sequence[Row]) -> dict[str, Any]:
    """The JSON object of a sweep."""
    return {"study": study.id, "runs": list(map(_row_json, rows)), "seconds": total_seconds(rows)}


def _row_json(row: Row) -> dict[str, Any]:
    told = {
        "run": row.run,
        "method": row.job.method.name,
        "pattern": row.job.pattern.label,
        "allocation": row.job.method.allocation.name,
        "seed": row.job.seed,
        "samples": row.job.calibration.samples,
        "perplexity": row.perplexity,
        "ratio": row.ratio,
        "seconds": row.seconds,
        "status": row.status,
    }
    return told | ({"failure": row.failure} if row.failure else {})
