"""About how long a look takes: along the depth of a finished run by the pace of the run's own evaluation, at an
allocation by the rates of the machine. No torch."""

from __future__ import annotations

from apt_core.estimate.preflight import is_known
from apt_core.estimate.rates import Rates, rates_here
from apt_core.estimate.work import work_of_allocating
from apt_core.events.records import RunRecord
from apt_core.measure.depth_values import LENS_POSITIONS
from apt_core.measure.inside.questions import AllocationQuestion, BlocksAloneQuestion, DepthQuestion
from apt_core.models.catalogue.facts import ModelFacts

_START = 5.0  # seconds until a process has its libraries


def looking_seconds(record: RunRecord, question: DepthQuestion | BlocksAloneQuestion) -> float | None:
    """None where the run did not measure how long its model takes to read.

    A block costs as much wherever it is; what is not in the blocks is taken for the head.
    """
    read, model = record.pruned, record.model
    if read is None or model is None or not read.seconds or not model.parameters:
        return None
    length = min(question.length, read.length)
    tokens = question.windows * length
    pace = read.seconds / (read.windows * read.length)  # of one token through the whole model
    head = 1 - min(model.prunable / model.parameters, 1.0)
    load = record.finished.seconds.get("load", 0.0) if record.finished else 0.0
    once = (
        _depth(question.windows, length, model.blocks, head)
        if isinstance(question, DepthQuestion)
        else (tokens * _alone(model.blocks, head))
    )
    return _START + 2 * load + pace * once


def _depth(windows: int, length: int, blocks: int, head: float) -> float:
    """Tokens through a whole model: both models once, their heads behind each block at a few positions."""
    positions = windows * max(1, min(length, LENS_POSITIONS // windows))
    return 2 * windows * length * (1 - head) + 2 * positions * blocks * head


def _alone(blocks: int, head: float) -> float:
    """Passes of the same tokens: the dense stream, one that begins at each block, and the pruned model."""
    streams = 1 + (blocks + 1) / 2
    return streams * (1 - head) + (blocks + 1) * head + 1


def allocating_seconds(
    question: AllocationQuestion, facts: ModelFacts, rates: Rates | None = None
) -> float | None:
    """None where the model's size is not known yet. rates: None for those of this machine."""
    if not is_known(facts):
        return None
    job = question.job
    rates = rates or rates_here(job.resources.dtype)
    dtype = rates.dtype if job.resources.dtype == "auto" else job.resources.dtype
    facts = facts.with_optional() if job.optional_layers else facts
    work = work_of_allocating(job, facts, dtype)
    return sum(rates.seconds(name, stage, dtype) for name, stage in work.items())
