"""Prune, from job to checkpoint: `for event in run(job, context)` is the whole protocol.

    load -> dense perplexity -> for every block: statistics, prune its layers, propagate -> save
         -> pruned perplexity -> speed and size

Blocks are sequential: each is pruned with the inputs that the already pruned blocks produce.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import torch
from torch import Tensor

from apt_core import families
from apt_core.base import hardware
from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.base.limits import SIZED_BYTES, compared_windows
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.events import Event, Finished, LayerPruned, Measured, Progress, Sized, Subject, Warned
from apt_core.execute.context import Context
from apt_core.execute.opening import (
    Opened,
    calibration_windows,
    describe,
    evaluation_windows,
    open_model,
    parameters_of,
    prunable_of,
)
from apt_core.execute.prune_blocks import Calibrated, prune_blocks
from apt_core.execute.speeds import speed_events, timed_in_turns
from apt_core.families import Layer
from apt_core.jobs import Prune
from apt_core.measure.dense_cache import known_perplexity_events
from apt_core.measure.divergence import WindowDivergence, diverged, fill_states, window_divergences
from apt_core.measure.kept_sensitivity import KeptSensitivity
from apt_core.measure.kept_states import KeptStates
from apt_core.measure.perplexity import decoding_speed, perplexity_events
from apt_core.measure.size import ZSTD_LEVEL, folder_sizes, known_sizes
from apt_core.models.checkpoint.whole import checkpoint_bytes, stored_dtype
from apt_core.passes.evaluation import LastStates
from apt_core.passes.layer_walk import WalkName


def run(job: Prune, context: Context) -> Generator[Event, None, None]:
    """Prune as the job says, yielding an event for everything that happens.

    Closing the generator stops the run; nothing half-written stays behind.
    Raises PruneError for what the user can change; out-of-memory and OSErrors pass through.
    """
    clock = context.clock
    device = choose_device(context.device)
    dtype = choose_dtype(device, job.resources.dtype)
    with clock("load"):
        opened = yield from open_model(job, context, dtype, device, job.optional_layers)
        calibration = yield from calibration_windows(job, opened, context.policy)
        texts = yield from evaluation_windows(job, opened, context.policy, job.calibration.text)
    _check_pattern(opened.layers, job.pattern)
    if guessed := families.what_was_guessed(opened.model, opened.layers):
        yield Warned(message=guessed)
    yield describe(job, context, opened, device, dtype)

    dense, pruned = (LastStates(compared_windows(*texts[0].shape)) for _ in range(2))
    yield from _evaluate(job, context, opened, texts, "dense", dense)
    yield from _states_of_dense(context, opened, texts[0], dense)
    alone = not timed_in_turns(opened.folder)
    yield from _measure(context, opened, "dense", opened.folder, alone)
    checkpoint, removed = yield from _prune(job, context, opened, calibration, dtype)
    yield from _evaluate(job, context, opened, texts, "pruned", pruned)
    yield from _compare(job, context, opened, texts[0], dense, pruned)
    yield from _measure(context, opened, "pruned", checkpoint, alone)
    if not alone:
        with clock("measure"):
            yield from speed_events(opened, checkpoint, dtype, device)
    yield Finished(
        sparsity=removed / prunable_of(opened.layers),
        parameters=parameters_of(opened.model),
        removed=removed,
        seconds=clock.rounded(),
        spared=clock.spared,
        peak_rss_bytes=hardware.peak_rss_bytes(),
        checkpoint=str(checkpoint),
    )


def _evaluate(
    job: Prune, context: Context, opened: Opened, texts: list[Tensor], subject: Subject, first: LastStates
) -> Iterator[Event]:
    """Perplexity on every text; that of the dense model may be known already. first: keeps those of the first text."""
    with context.clock(f"{subject}_eval"):
        for number, (wanted, windows) in enumerate(zip(job.evaluation, texts, strict=True)):
            last = None if number else first
            if subject == "dense":
                found = yield from known_perplexity_events(
                    opened.model, windows, subject, wanted.text, opened.folder, opened.store, last
                )
                if found.reused:
                    context.clock.spare("dense_eval", found.seconds)
            else:
                found = yield from perplexity_events(
                    opened.model, windows, subject, wanted.text, opened.store, last
                )
            yield found


def _states_of_dense(context: Context, opened: Opened, windows: Tensor, dense: LastStates) -> Iterator[Event]:
    """Where the dense perplexity was known, its windows have gone through no block yet; another run of the study may
    have kept what leaves the last one."""
    if not dense.windows:
        return
    kept = KeptStates(context.shared, opened.folder) if context.shared else None
    compared = windows[: dense.windows]
    if dense.states is None and kept:
        dense.states = kept.recall(opened.model, compared)
        if dense.states is not None:
            return
    if dense.states is None:
        yield from _through_all_blocks(context, opened, windows, dense)
    if kept and dense.states is not None:
        kept.keep(opened.model, compared, dense.states)


def _through_all_blocks(
    context: Context, opened: Opened, windows: Tensor, dense: LastStates
) -> Iterator[Event]:
    with context.clock("divergence"):
        for block in fill_states(opened.model, windows, opened.store, dense):
            yield Progress(
                stage="evaluate", subject="dense", done=block, total=len(opened.store.blocks), detail="blocks"
            )


def _compare(
    job: Prune, context: Context, opened: Opened, windows: Tensor, dense: LastStates, pruned: LastStates
) -> Iterator[Event]:
    """KL and agreement with the dense model, on the first windows of the first text, where they are short enough."""
    if not dense.windows:
        return
    assert dense.states is not None and pruned.states is not None
    compared = windows[: dense.windows]
    found: list[WindowDivergence] = []
    with context.clock("divergence"):
        for one in window_divergences(opened.model, opened.store, compared, dense.states, pruned.states):
            found.append(one)
            yield Progress(
                stage="evaluate", subject="pruned", done=len(found), total=len(compared), detail="agreement"
            )
        yield diverged(found, job.evaluation[0].text, compared.shape[1])


def _prune(
    job: Prune, context: Context, opened: Opened, calibration: Tensor, dtype: torch.dtype
) -> Generator[Event, None, tuple[Path, int]]:
    """(the pruned model's checkpoint, how many weights were removed)."""
    store, removed = opened.store, 0
    entry = next(opened.model.parameters()).device  # where tokens enter
    stored = stored_dtype(opened.folder) or dtype
    walk = _walk(job, context, opened)
    with store.writing(opened.folder, context.folder / "checkpoint"):
        with context.clock("prune"), store.scratch(context.folder) as scratch:
            calibrated = Calibrated(
                job,
                opened.model,
                store,
                opened.layers,
                calibration.to(entry),
                stored,
                scratch,
                walk,
                KeptSensitivity(context.shared, opened.folder) if context.shared else None,
            )
            for event in prune_blocks(calibrated, context.clock):
                removed += event.removed if isinstance(event, LayerPruned) else 0
                yield event
        with context.clock("save"):
            yield Progress(stage="save", done=0, total=1, detail="pruned weights")
            checkpoint = store.finish()
    store.then_read(checkpoint)
    return checkpoint, removed


def _walk(job: Prune, context: Context, opened: Opened) -> WalkName:
    if job.resources.walk != "auto":
        return job.resources.walk
    return context.walk(job, opened.folder) if context.walk else "halting"


def _measure(
    context: Context, opened: Opened, subject: Subject, folder: Path, timed: bool
) -> Iterator[Event]:
    """Size on disk; and decoding speed where it is timed alone, None where the model cannot be called as a whole."""
    with context.clock("measure"):
        speed = (yield from _decoding_speed(opened, subject)) if timed else None
        yield Measured(subject=subject, tokens_per_second=speed, bytes_on_disk=checkpoint_bytes(folder))
    if checkpoint_bytes(folder) <= SIZED_BYTES:
        with context.clock("size"):
            sizes = known_sizes(folder) if subject == "dense" else folder_sizes(folder)
            yield Sized(subject=subject, zstd_level=ZSTD_LEVEL, **sizes.model_dump())


def _decoding_speed(opened: Opened, subject: Subject) -> Generator[Event, None, float | None]:
    done = int(subject == "pruned")
    yield Progress(stage="measure", subject=subject, done=done, total=2, detail=f"{subject} decoding speed")
    with opened.store.all_loaded() as why_not:
        return None if why_not else decoding_speed(opened.model)


def _check_pattern(layers: list[Layer], pattern: Unstructured | SemiStructured) -> None:
    for layer in layers:
        pattern.check_width(layer.in_features, f"{layer.name} (block {layer.block})")
