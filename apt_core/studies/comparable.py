"""Which runs can be compared, and in what. No torch."""

from __future__ import annotations

from apt_core.events.records import RunRecord
from apt_core.jobs import Job, Prune

DENSE_TOLERANCE = (
    1e-3  # the same weights on the same windows, computed by another machine or in another order
)


def same_task(one: RunRecord, other: RunRecord) -> bool:
    """Whether both prune and were given the very same model, pattern, texts, seed, layers and precision: only the
    method differs."""
    return _task(one.job) is not None and _task(one.job) == _task(other.job)


def comparable(one: RunRecord, other: RunRecord) -> bool:
    """Whether the pruned perplexities of two runs compare: the same model, pattern and evaluation, and a dense
    perplexity that shows that both read the same windows."""
    if one.dense is None or other.dense is None:
        return False
    if _measured_on(one.job) is None or _measured_on(one.job) != _measured_on(other.job):
        return False
    return abs(other.dense.perplexity / one.dense.perplexity - 1) < DENSE_TOLERANCE


def _measured_on(job: Job) -> tuple[object, ...] | None:
    return (job.model, job.pattern, job.evaluation) if isinstance(job, Prune) else None


def _task(job: Job) -> tuple[object, ...] | None:
    if not isinstance(job, Prune):
        return None
    return (
        job.model,
        job.pattern,
        job.evaluation,
        job.calibration,
        job.seed,
        job.optional_layers,
        job.resources.dtype,
    )
