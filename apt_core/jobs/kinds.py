"""Where code must know what kind of job it has: the one place that asks for kinds by their classes.

What differs from kind to kind is a field or a method of the job (`Job`); these are for what one kind alone is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apt_core.jobs.base import Job
from apt_core.jobs.evaluate import Evaluate
from apt_core.jobs.prune import Prune
from apt_core.jobs.recover import Recover
from apt_core.jobs.search import Search
from apt_core.jobs.shrink import Shrink

if TYPE_CHECKING:
    from typing_extensions import TypeIs

# Makes a smaller or sparser model of a model, by a method, of a share of its weights.
Pruning = Prune | Shrink | Search
Composed = Prune | Shrink


def prunes(job: Job) -> TypeIs[Prune]:
    """Does this job set single weights to zero?"""
    return isinstance(job, Prune)


def shrinks(job: Job) -> TypeIs[Shrink | Search]:
    """Does this job remove whole structures, so that what it makes is smaller?"""
    return isinstance(job, Shrink | Search)


def searches(job: Job) -> TypeIs[Search]:
    """Does this job try many smaller models?"""
    return isinstance(job, Search)


def is_composed(job: Job) -> TypeIs[Composed]:
    """Is this job asked for by a method and a pattern?"""
    return isinstance(job, Composed)


def makes_a_model(job: Job) -> TypeIs[Pruning]:
    """Does this job make a model of a model, and measure both?"""
    return isinstance(job, Pruning)


def trains(job: Job) -> TypeIs[Recover]:
    """Does this job train a part of the model?"""
    return isinstance(job, Recover)


def measures(job: Job) -> TypeIs[Evaluate]:
    """Does this job measure a model and make none?"""
    return isinstance(job, Evaluate)
