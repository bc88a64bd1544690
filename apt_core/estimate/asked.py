"""What a job of any kind asks for, as far as its estimate depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from apt_core.jobs import Calibration, Evaluation, Job
from apt_core.jobs.kinds import prunes, shrinks, trains
from apt_core.methods.component import Statistic

Walk = Literal["halting", "two-pass"]  # of the calibration windows through a block (`passes`)


def texts(job: Job) -> Iterator[tuple[Literal["calibration", "evaluation"], Calibration | Evaluation]]:
    """(split, windows) of every text that the job reads."""
    if prunes(job) or (shrinks(job) and job.method.reads_text):
        yield "calibration", job.calibration
    if trains(job):
        yield "calibration", job.training
    for one in job.evaluation:
        yield "evaluation", one


def carries_dense_stream(job: Job) -> bool:
    """Are the dense model's hidden states carried beside the pruned model's?"""
    return prunes(job) and Statistic.DENSE_STREAM in job.method.needs_for(job.pattern)


def looks_at_dense_inputs(job: Job) -> bool:
    """Do the calibration windows go through the dense model before anything is removed?"""
    return prunes(job) and Statistic.DENSE_INPUTS in job.method.needs_for(job.pattern)


def takes_gradients(job: Job) -> bool:
    """Are gradients of the dense model's loss taken, to the outputs of all layers?"""
    return prunes(job) and Statistic.OUTPUT_GRADIENTS in job.method.needs_for(job.pattern)
