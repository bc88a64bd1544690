"""Search, from job to checkpoint: candidates are tried inside the dense model, and only the best one is written.

load -> dense perplexity -> importance -> generations -> the best, compensated -> a checkpoint of other shapes -> load
     -> pruned perplexity -> speed and size -> the uniform start, compensated the same way -> its perplexity
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from apt_core import families
from apt_core.base import hardware
from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.base.limits import compared_windows
from apt_core.events import Evaluated, Event, Finished, Progress
from apt_core.execute import training_state
from apt_core.execute.context import Context
from apt_core.execute.measuring import (
    both_answers,
    compared,
    dense_answer,
    evaluated,
    measured,
    states_of_dense,
)
from apt_core.execute.opening import (
    Opened,
    describe,
    evaluation_windows,
    open_folder,
    open_model,
    parameters_of,
    prunable_of,
    searching_windows,
)
from apt_core.execute.search_judge import check_judge
from apt_core.execute.search_population import Found, Searching, recalled
from apt_core.execute.search_space import Space, made, space_of
from apt_core.execute.shrink import open_smaller
from apt_core.execute.shrink_given import Given, Planned
from apt_core.execute.speeds import speeds_of_two, timed_in_turns
from apt_core.jobs import Search
from apt_core.measure.generate import Alone
from apt_core.models.checkpoint.reshaped import write_reshaped
from apt_core.models.checkpoint.whole import stored_dtype
from apt_core.passes.evaluation import LastStates
from apt_core.passes.genomes import Genome

_START = "checkpoint.start"  # a name that is removed with what a killed run left behind


class Texts(NamedTuple):
    """calibration, held_out: [windows, length]. evaluation: of every text."""

    calibration: Tensor
    held_out: Tensor
    evaluation: list[Tensor]


class Machine(NamedTuple):
    dtype: torch.dtype
    device: str


class Dense(NamedTuple):
    """last: what leaves its last block. alone: whether speeds are measured one model at a time. answer: to the standard
    question, where it was asked."""

    folder: Path
    parameters: int
    prunable: int
    last: LastStates
    alone: bool
    answer: Alone | None


def run(job: Search, context: Context) -> Generator[Event, None, None]:
    """Search as the job says, yielding an event for everything that happens.

    Closing the generator keeps the population; nothing half-written stays behind.
    Raises PruneError for what the user can change; out-of-memory and OSErrors pass through.
    """
    clock, device, state = context.clock, choose_device(context.device), recalled(job, context)
    machine = Machine(choose_dtype(device, job.resources.dtype), device)
    with clock("load"):
        opened = yield from open_model(job, context, machine.dtype, device)
        texts = yield from _texts(job, context, opened)
    yield describe(job, context, opened, machine.dtype)
    given = _given(job, context, opened, texts, machine)
    space = space_of(given)  # raises before anything takes long
    check_judge(given, job.evolution, space)
    dense = yield from _measure_dense(job, context, opened, texts)
    with clock("search"):
        held_out = texts.held_out.to(opened.device)
        found = yield from Searching(job, given, space, held_out).run(state)
    checkpoint = context.folder / "checkpoint"
    planned = yield from _write(given, space, found, found.best, checkpoint)
    del opened, given  # two models at once need room for both
    smaller = yield from open_smaller(job, context, checkpoint, machine.dtype, device)
    left, parameters = prunable_of(smaller.layers), parameters_of(smaller.model)
    yield planned.event(dense.parameters, parameters, 1 - left / dense.prunable)
    best = yield from _measure_best(job, context, smaller, texts, dense, machine)
    del smaller
    yield from _measure_start(job, context, texts, machine, space, found, dense.folder, best)
    training_state.forget(context.folder)
    yield Finished(
        sparsity=1 - left / dense.prunable,
        parameters=dense.parameters,
        removed=dense.parameters - parameters,
        seconds=clock.rounded(),
        spared=clock.spared,
        peak_rss_bytes=hardware.peak_rss_bytes(),
        checkpoint=str(checkpoint),
    )


def _texts(job: Search, context: Context, opened: Opened) -> Generator[Event, None, Texts]:
    calibration, held_out = yield from searching_windows(job, opened, context.policy)
    evaluation = yield from evaluation_windows(job, opened, context.policy, job.calibration.text)
    return Texts(calibration, held_out, evaluation)


def _given(job: Search, context: Context, opened: Opened, texts: Texts, machine: Machine) -> Given:
    stored = stored_dtype(opened.folder) or machine.dtype
    return Given(job, context, opened, texts.calibration.to(opened.device), stored)


def _measure_dense(
    job: Search, context: Context, opened: Opened, texts: Texts
) -> Generator[Event, None, Dense]:
    last, alone = LastStates(compared_windows(*texts.evaluation[0].shape)), not timed_in_turns(opened.folder)
    yield from evaluated(job, context, opened, texts.evaluation, "dense", last)
    yield from states_of_dense(job, context, opened, texts.evaluation[0], last)
    yield from measured(context, opened, "dense", opened.folder, alone)
    answer = yield from dense_answer(job, context, opened)
    return Dense(opened.folder, parameters_of(opened.model), prunable_of(opened.layers), last, alone, answer)


def _write(
    given: Given, space: Space, found: Found, genome: Genome, target: Path
) -> Generator[Event, None, Planned]:
    """The model of a genome as a separate checkpoint. The weights of `given` are changed in the process."""
    family = families.family_of(given.opened.store.blocks[0]) or families.UNLISTED
    with given.context.clock("save"):
        yield Progress(stage="save", done=0, total=1, detail="the smaller model")
        try:
            planned = yield from made(given, space, found.importance, genome)
            write_reshaped(planned.changed or given.opened.folder, target, planned.edit, family)
        finally:
            given.clean()
    return planned


def _measure_best(
    job: Search, context: Context, smaller: Opened, texts: Texts, dense: Dense, machine: Machine
) -> Generator[Event, None, list[Evaluated]]:
    """Everything that is measured of what a run makes; its perplexities are returned."""
    first, found = LastStates(dense.last.windows), list[Evaluated]()
    for event in evaluated(job, context, smaller, texts.evaluation, "pruned", first):
        found += [event] if isinstance(event, Evaluated) else []
        yield event
    yield from compared(job, context, smaller, texts.evaluation[0], dense.last, first)
    yield from both_answers(context, smaller, dense.answer)
    yield from measured(context, smaller, "pruned", smaller.folder, dense.alone)
    if not dense.alone:
        with context.clock("measure"):
            yield from speeds_of_two(dense.folder, smaller, machine.dtype)
    return found


def _measure_start(
    job: Search,
    context: Context,
    texts: Texts,
    machine: Machine,
    space: Space,
    found: Found,
    dense: Path,
    best: list[Evaluated],
) -> Generator[Event, None, None]:
    """The uniform widths that the search began with, made in the same way; where nothing better was found they are
    what was measured already."""
    if found.start.key == found.best.key:
        yield from (one.model_copy(update={"subject": "start"}) for one in best)
        return
    target = context.folder / _START
    try:
        with context.clock("load"):
            yield Progress(stage="save", subject="start", done=0, total=1, detail="the dense model once more")
            opened = yield from open_folder(job, context, dense, machine.dtype, machine.device)
        given = _given(job, context, opened, texts, machine)
        yield from _write(given, space, found, found.start, target)
        del opened, given
        smaller = yield from open_smaller(job, context, target, machine.dtype, machine.device)
        yield from evaluated(job, context, smaller, texts.evaluation, "start", LastStates(0))
    finally:
        shutil.rmtree(target, ignore_errors=True)
