"""What a job of any kind asks for, as far as its estimate depends on it."""

from __future__ import annotations

from typing import Any, Literal

from apt_core.methods.component import Statistic

Walk = Literal["halting", "two-pass"]  # of the calibration windows through a block (`passes`)


def job_of(record: Any) -> Any:
    """What a run was asked to do."""
    return record.job if hasattr(record, "job") else record.recipe


def evaluations(job: Any) -> tuple:
    """The texts whose perplexity is measured."""
    return job.evaluation if isinstance(job.evaluation, tuple) else (job.evaluation,)


def wanted_dtype(job: Any) -> str:
    return _resources(job).dtype


def wanted_weights(job: Any) -> str:
    return _resources(job).weights


def wanted_device(job: Any) -> str:
    return _resources(job).device


def wanted_walk(job: Any) -> str:
    return getattr(job, "walk", getattr(_resources(job), "walk", "auto"))


def optional_layers(job: Any) -> bool:
    return getattr(job, "optional_layers", False)


def prunes(job: Any) -> bool:
    """Does this job prune, rather than measure alone?"""
    return hasattr(job, "method")


def carries_dense_stream(job: Any) -> bool:
    """Are the dense model's hidden states carried beside the pruned model's?"""
    return prunes(job) and Statistic.DENSE_STREAM in job.method.needs_for(job.pattern)


def takes_gradients(job: Any) -> bool:
    """Are gradients of the dense model's loss taken?"""
    return prunes(job) and Statistic.OUTPUT_GRADIENTS in job.method.needs_for(job.pattern)


def _resources(job: Any):
    return getattr(job, "resources", job)
