"""What a job of any kind asks for, as far as its estimate depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from apt_core.jobs import Calibration, Evaluation, Job, Prune, Pruning, Recover, Search, Shrink
from apt_core.methods.component import Statistic

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Walk = Literal["halting", "two-pass"]  # of the calibration windows through a block (`passes`)


def optional_layers(job: Job) -> bool:
    return isinstance(job, Prune) and job.optional_layers


def prunes(job: Job) -> TypeIs[Prune]:
    """Does this job prune, rather than measure alone?"""
    return isinstance(job, Prune)


def shrinks(job: Job) -> TypeIs[Shrink | Search]:
    """Does this job remove whole structures, so that what it makes is smaller?"""
    return isinstance(job, Shrink | Search)


def searches(job: Job) -> TypeIs[Search]:
    """Does this job try many smaller models?"""
    return isinstance(job, Search)


def makes_a_model(job: Job) -> TypeIs[Pruning]:
    """Does this job make a model of a model, and measure both?"""
    return isinstance(job, Pruning)


def trains(job: Job) -> TypeIs[Recover]:
    """Does this job train a part of the model?"""
    return isinstance(job, Recover)


def texts(job: Job) -> Iterator[tuple[Literal["calibration", "evaluation"], Calibration | Evaluation]]:
    """(split, windows) of every text that the job reads."""
    if isinstance(job, Prune) or (shrinks(job) and job.method.reads_text):
        yield "calibration", job.calibration
    if isinstance(job, Recover):
        yield "calibration", job.training
    for one in job.evaluation:
        yield "evaluation", one


def carries_dense_stream(job: Job) -> bool:
    """Are the dense model's hidden states carried beside the pruned model's?"""
    return isinstance(job, Prune) and Statistic.DENSE_STREAM in job.method.needs_for(job.pattern)


def looks_at_dense_inputs(job: Job) -> bool:
    """Do the calibration windows go through the dense model before anything is removed?"""
    return isinstance(job, Prune) and Statistic.DENSE_INPUTS in job.method.needs_for(job.pattern)


def takes_gradients(job: Job) -> bool:
    """Are gradients of the dense model's loss taken, to the outputs of all layers?"""
    return isinstance(job, Prune) and Statistic.OUTPUT_GRADIENTS in job.method.needs_for(job.pattern)
