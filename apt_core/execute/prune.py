"""Prune, from job to checkpoint: `for event in run(job, context)` is the whole protocol.

    load -> dense perplexity and answer -> for every block: statistics, prune its layers, propagate -> save
         -> pruned perplexity and answer -> speed and size

Blocks are sequential: each is pruned with the inputs that the already pruned blocks produce.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apt_core import families
from apt_core.base import hardware
from apt_core.base.clock import Clock
from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.base.limits import compared_windows
from apt_core.base.patterns import SemiStructured
from apt_core.events import Event, Finished, LayerPruned, Progress, Warned
from apt_core.execute import pruning_state
from apt_core.execute.calibrated import Calibrated
from apt_core.execute.context import Context
from apt_core.execute.in_parts import InParts
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
    check_pattern,
    check_tokens,
    describe,
    evaluation_windows,
    open_model,
    parameters_of,
    prunable_of,
)
from apt_core.execute.prune_blocks import prune_blocks
from apt_core.execute.speeds import speed_events, timed_in_turns
from apt_core.jobs import Prune
from apt_core.measure.kept_sensitivity import KeptSensitivity
from apt_core.models.checkpoint.whole import stored_dtype
from apt_core.models.load.spread_store import SpreadStore
from apt_core.models.load.weight_store import MemoryStore, WeightStore
from apt_core.passes.evaluation import LastStates
from apt_core.passes.layer_walk import WalkName

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def run(job: Prune, context: Context) -> Generator[Event, None, None]:
    """Prune as the job says, yielding an event for everything that happens.

    Closing the generator stops the run; nothing half-written stays behind. Where the context asks for a pause, the last
    event is `Paused`, and the next call with the same folder goes on behind the last pruned block.
    Raises PruneError for what the user can change; out-of-memory and OSErrors pass through.
    """
    clock = context.clock
    if context.pause is not None and context.shared is None:
        context = context._replace(shared=pruning_state.shared(context.folder))
    device = choose_device(context.device)
    dtype = choose_dtype(device, job.resources.dtype)
    with clock("load"):
        opened = yield from open_model(job, context, dtype, device, job.optional_layers)
        calibration = yield from calibration_windows(job, opened, context.policy)
        texts = yield from evaluation_windows(job, opened, context.policy, job.calibration.text)
    check_pattern(opened.layers, job.pattern)
    if guessed := families.what_was_guessed(opened.model, opened.layers):
        yield Warned(message=guessed)
    if job.method.caveat:
        yield Warned(message=job.method.caveat)
    yield describe(job, context, opened, dtype)

    dense, pruned = (LastStates(compared_windows(*texts[0].shape)) for _ in range(2))
    yield from evaluated(job, context, opened, texts, "dense", dense)
    yield from states_of_dense(job, context, opened, texts[0], dense)
    alone = not timed_in_turns(opened.folder)
    yield from measured(context, opened, "dense", opened.folder, alone)
    answer = yield from dense_answer(job, context, opened)
    if (made := (yield from _prune(job, context, opened, calibration, dtype))) is None:
        return
    checkpoint, removed = made
    yield from evaluated(job, context, opened, texts, "pruned", pruned)
    yield from compared(job, context, opened, texts[0], dense, pruned)
    yield from both_answers(context, opened, answer)
    yield from measured(context, opened, "pruned", checkpoint, alone)
    if not alone:
        with clock("measure"):
            kernels = _may_use_sparse_kernels(job, device)
            yield from speed_events(opened, checkpoint, dtype, kernels)
    pruning_state.forget(context.folder)
    yield Finished(
        sparsity=removed / prunable_of(opened.layers),
        parameters=parameters_of(opened.model),
        removed=removed,
        seconds=clock.rounded(),
        spared=clock.spared,
        peak_rss_bytes=hardware.peak_rss_bytes(),
        checkpoint=str(checkpoint),
    )


def prune_loaded(
    job: Prune, model: PreTrainedModel, windows: Tensor, clock: Clock
) -> Generator[Event, None, None]:
    """Prune a model that somebody has loaded, in place; only the method, the pattern and `optional_layers` of the job
    count. windows: [n, length] token ids. Nothing is measured and nothing written.

    A model that is left in the middle is pruned up to there.
    """
    spread = len(set(getattr(model, "hf_device_map", {}).values())) > 1
    store: WeightStore = SpreadStore(model) if spread else MemoryStore(model)
    layers = families.all_layers(store.blocks, job.optional_layers)
    check_pattern(layers, job.pattern)
    check_tokens(windows, model)
    if guessed := families.what_was_guessed(model, layers):
        yield Warned(message=guessed)
    first, training = next(model.parameters()), model.training
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    model.requires_grad_(False)
    try:
        with clock("prune"), store.scratch(Path()) as scratch:
            calibrated = Calibrated(job, model, store, layers, windows.to(first.device), first.dtype, scratch)
            yield from prune_blocks(calibrated, clock)
    finally:
        model.train(training)
        for parameter in trained:
            parameter.requires_grad_(True)


def _prune(
    job: Prune, context: Context, opened: Opened, calibration: Tensor, dtype: torch.dtype
) -> Generator[Event, None, tuple[Path, int] | None]:
    """(the pruned model's checkpoint, how many weights were removed); None where the run was left before its end."""
    store, removed = opened.store, 0
    stored = stored_dtype(opened.folder) or dtype
    parts = InParts(job, context.folder, store, context.pause) if context.pause else None
    with store.writing(opened.folder, context.folder / "checkpoint"):
        with context.clock("prune"), store.scratch(context.folder) as scratch:
            calibrated = Calibrated(
                job,
                opened.model,
                store,
                opened.layers,
                calibration.to(opened.device),
                stored,
                scratch,
                _walk(job, context, opened),
                KeptSensitivity(context.shared, opened.folder) if context.shared else None,
                parts,
            )
            for event in prune_blocks(calibrated, context.clock):
                removed += event.removed if isinstance(event, LayerPruned) else 0
                yield event
        if parts is not None and parts.paused:
            return None
        with context.clock("save"):
            yield Progress(stage="save", done=0, total=1, detail="pruned weights")
            checkpoint = store.finish()
    store.then_read(checkpoint)
    return checkpoint, removed if parts is None else parts.removed


def _may_use_sparse_kernels(job: Prune, device: str) -> bool:
    """Those of torch.sparse are for 2:4 on a GPU."""
    return device.startswith("cuda") and job.pattern == SemiStructured(keep=2, of=4)


def _walk(job: Prune, context: Context, opened: Opened) -> WalkName:
    if job.resources.walk != "auto":
        return job.resources.walk
    return context.walk(job, opened.folder) if context.walk else "halting"
