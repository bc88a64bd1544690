"""Shrink, from job to checkpoint: the smaller model is opened from its files, as any user would open it.

load -> dense perplexity -> which structures go -> a checkpoint of other shapes -> load -> pruned perplexity
     -> speed and size
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import torch
from torch import Tensor

from apt_core import families
from apt_core.base import hardware
from apt_core.base.errors import BadInput
from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.base.limits import compared_windows
from apt_core.events import Event, Finished, Progress, Warned
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
    calibration_windows,
    describe,
    evaluation_windows,
    open_folder,
    open_model,
    parameters_of,
    prunable_of,
)
from apt_core.execute.shrink_depth import without_blocks
from apt_core.execute.shrink_given import Given, Planned
from apt_core.execute.shrink_widths import check_widths, with_narrower_blocks
from apt_core.execute.speeds import speeds_of_two, timed_in_turns
from apt_core.jobs import Job, Shrink
from apt_core.methods.structured.base import StructuredMethod
from apt_core.methods.structured.depth import Depth
from apt_core.methods.structured.llm_pruner import LLMPruner
from apt_core.models.checkpoint.reshaped import write_reshaped
from apt_core.models.checkpoint.whole import stored_dtype
from apt_core.passes.evaluation import LastStates

UNEVEN = (
    "Blocks of this model differ in width: this program (apt_core.load_model) and, exported as GGUF, llama.cpp load "
    "it; plain transformers refuses it."
)
Plan = Callable[[Given], Generator[Event, None, Planned]]


def run(job: Shrink, context: Context) -> Generator[Event, None, None]:
    """Shrink as the job says, yielding an event for everything that happens.

    Closing the generator stops the run; nothing half-written stays behind.
    Raises PruneError for what the user can change; out-of-memory and OSErrors pass through.
    """
    clock, plan = context.clock, _plan_of(job)
    device = choose_device(context.device)
    dtype = choose_dtype(device, job.resources.dtype)
    with clock("load"):
        opened = yield from open_model(job, context, dtype, device)
        calibration = None
        if job.method.reads_text:
            calibration = yield from calibration_windows(job, opened, context.policy)
        calibrated_on = job.calibration.text if job.method.reads_text else None
        texts = yield from evaluation_windows(job, opened, context.policy, calibrated_on)
    yield describe(job, context, opened, dtype)
    if isinstance(job.method, LLMPruner):
        check_widths(_given(job, context, opened, calibration, dtype))

    dense_folder, dense_parameters, prunable = (
        opened.folder,
        parameters_of(opened.model),
        prunable_of(opened.layers),
    )
    dense, pruned = (LastStates(compared_windows(*texts[0].shape)) for _ in range(2))
    yield from evaluated(job, context, opened, texts, "dense", dense)
    yield from states_of_dense(job, context, opened, texts[0], dense)
    alone = not timed_in_turns(opened.folder)
    yield from measured(context, opened, "dense", opened.folder, alone)
    answer = yield from dense_answer(job, context, opened)
    checkpoint, planned = yield from _shrink(job, context, opened, calibration, dtype, plan)
    if planned.uneven:
        yield Warned(message=UNEVEN)
    del opened  # two models at once need room for both
    smaller = yield from open_smaller(job, context, checkpoint, dtype, device)
    yield planned.event(
        dense_parameters, parameters_of(smaller.model), 1 - prunable_of(smaller.layers) / prunable
    )
    yield from evaluated(job, context, smaller, texts, "pruned", pruned)
    yield from compared(job, context, smaller, texts[0], dense, pruned)
    yield from both_answers(context, smaller, answer)
    yield from measured(context, smaller, "pruned", checkpoint, alone)
    if not alone:
        with clock("measure"):
            yield from speeds_of_two(dense_folder, smaller, dtype)
    yield Finished(
        sparsity=1 - prunable_of(smaller.layers) / prunable,
        parameters=dense_parameters,
        removed=dense_parameters - parameters_of(smaller.model),
        seconds=clock.rounded(),
        spared=clock.spared,
        peak_rss_bytes=hardware.peak_rss_bytes(),
        checkpoint=str(checkpoint),
    )


_PLANS: dict[type[StructuredMethod], Plan] = {Depth: without_blocks, LLMPruner: with_narrower_blocks}


def _plan_of(job: Shrink) -> Plan:
    plan = _PLANS.get(type(job.method))
    if plan is None:
        raise BadInput(f"Nothing here can shrink a model by '{job.method.name}'.")
    return plan


def _shrink(
    job: Shrink,
    context: Context,
    opened: Opened,
    calibration: Tensor | None,
    dtype: torch.dtype,
    plan: Plan,
) -> Generator[Event, None, tuple[Path, Planned]]:
    """(the smaller model's checkpoint, what went)."""
    with context.clock("prune"):
        given = _given(job, context, opened, calibration, dtype)
        planned = yield from plan(given)
    with context.clock("save"):
        yield Progress(stage="save", done=0, total=1, detail="the smaller model")
        family = families.family_of(opened.store.blocks[0]) or families.UNLISTED
        try:
            checkpoint = write_reshaped(
                planned.changed or opened.folder, context.folder / "checkpoint", planned.edit, family
            )
        finally:
            given.clean()
    return checkpoint, planned


def _given(
    job: Shrink, context: Context, opened: Opened, calibration: Tensor | None, dtype: torch.dtype
) -> Given:
    windows = None if calibration is None else calibration.to(opened.device)
    return Given(job, context, opened, windows, stored_dtype(opened.folder) or dtype)


def open_smaller(
    job: Job, context: Context, checkpoint: Path, dtype: torch.dtype, device: str
) -> Generator[Event, None, Opened]:
    """The model that was just written, opened as any user would open it."""
    with context.clock("load"):
        yield Progress(stage="save", done=0, total=1, detail="opening the smaller model")
        return (yield from open_folder(job, context, checkpoint, dtype, device))
