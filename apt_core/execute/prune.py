"""Prune, from job to checkpoint: `for event in run(job, context)` is the whole protocol.

    load -> dense perplexity -> for every block: statistics, prune its layers, propagate -> save
         -> pruned perplexity -> speed and size

Blocks are sequential: each is pruned with the inputs that the already pruned blocks produce.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from apt_core import families
from apt_core.base import hardware
from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.events import (
    Evaluated,
    Event,
    Finished,
    LayerPruned,
    Measured,
    Progress,
    Warned,
)
from apt_core.execute.context import Context
from apt_core.execute.opening import describe, fetch_model, load_model, parameters_of, windows_of
from apt_core.execute.prune_blocks import prune_blocks
from apt_core.families import Layer
from apt_core.jobs import Prune as Recipe
from apt_core.measure.dense_cache import known_perplexity_events
from apt_core.measure.perplexity import decoding_speed, perplexity_events
from apt_core.models.checkpoint.whole import WholeCheckpoint, checkpoint_bytes, stored_dtype
from apt_core.models.load.weights import InMemory
from apt_core.passes.gradients import Places

if TYPE_CHECKING:
    from apt_core.models.checkpoint.in_place import PatchedCheckpoint
    from apt_core.models.load.blocks_on_disk import BlocksOnDisk

__all__ = ["choose_device", "choose_dtype", "run"]


def run(recipe: Recipe, context: Context) -> Iterator[Event]:
    """Prune as the job says, yielding an event for everything that happens.

    `context.folder/checkpoint/` is where the pruned safetensors go.
    """
    folder, clock = context.folder, context.clock
    device = choose_device(context.place)
    dtype = choose_dtype(device, recipe.resources.dtype)

    with clock("load"):
        dense_folder = yield from fetch_model(recipe, context)
        model, tokenizer, on_disk = yield from load_model(recipe, dense_folder, dtype, device)
        calibration, evaluation = yield from windows_of(recipe, model, tokenizer)
    entry = next(model.parameters()).device  # where tokens enter
    blocks = families.decoder_blocks(model)
    layers = families.all_layers(blocks, recipe.optional_layers)
    _check_pattern(layers, recipe.pattern)
    if guessed := families.what_was_guessed(model, layers):
        yield Warned(message=guessed)
    yield describe(recipe, context, model, dense_folder, blocks, layers, device, dtype)

    with clock("dense_eval"):
        for wanted, windows in zip(recipe.evaluation, evaluation, strict=True):
            dense = yield from known_perplexity_events(
                model, windows, "dense", wanted.text, dense_folder, on_disk
            )
            yield dense
    with clock("measure"):
        yield Progress(stage="measure", subject="dense", done=0, total=2, detail="dense decoding speed")
        yield Measured(
            subject="dense",
            tokens_per_second=_decoding_speed(model, on_disk),
            bytes_on_disk=checkpoint_bytes(dense_folder),
        )

    removed = 0
    with _checkpoint(model, layers, dense_folder, folder / "checkpoint", on_disk) as kept:
        with clock("prune"), _scratch(folder, on_disk, entry) as scratch:
            stored = stored_dtype(dense_folder) or dtype
            weights = on_disk or InMemory(blocks)
            for event in prune_blocks(
                recipe, model, weights, layers, calibration.to(entry), stored, clock, kept, scratch
            ):
                removed += event.removed if isinstance(event, LayerPruned) else 0
                yield event
        with clock("save"):
            yield Progress(stage="save", done=0, total=1, detail="pruned weights")
            checkpoint = kept.finish()
    if on_disk:
        on_disk.read_from(checkpoint)
    with clock("pruned_eval"):
        for wanted, windows in zip(recipe.evaluation, evaluation, strict=True):
            pruned: Evaluated = yield from perplexity_events(model, windows, "pruned", wanted.text, on_disk)
            yield pruned
    with clock("measure"):
        yield Progress(stage="measure", subject="pruned", done=1, total=2, detail="pruned decoding speed")
        yield Measured(
            subject="pruned",
            tokens_per_second=_decoding_speed(model, on_disk),
            bytes_on_disk=checkpoint_bytes(checkpoint),
        )

    prunable = sum(layer.matrix.numel() for layer in layers)
    yield Finished(
        sparsity=removed / prunable,
        parameters=parameters_of(model),
        removed=removed,
        seconds={stage: round(spent, 3) for stage, spent in (clock.seconds | {"total": clock.total}).items()},
        peak_rss_bytes=hardware.peak_rss_bytes(),
        checkpoint=str(checkpoint),
    )


def _checkpoint(
    model: nn.Module, layers: list[Layer], dense_folder: Path, target: Path, on_disk: BlocksOnDisk | None
) -> AbstractContextManager[PatchedCheckpoint | WholeCheckpoint]:
    """Where pruned blocks go: to disk at once, or all together in the end."""
    if on_disk:
        from apt_core.models.checkpoint.in_place import PatchedCheckpoint

        return PatchedCheckpoint(dense_folder, target, on_disk)
    pruned_weights = {id(layer.parameter) for layer in layers}
    changed = {name for name, weight in model.named_parameters() if id(weight) in pruned_weights}
    return WholeCheckpoint(model, dense_folder, target, changed)


def _decoding_speed(model: nn.Module, on_disk: BlocksOnDisk | None) -> float | None:
    """None where the blocks do not all fit into memory."""
    if on_disk is None:
        return decoding_speed(model)
    if not on_disk.all_fit:
        return None
    hardware.trim_heap()
    with on_disk.all_there():
        speed = decoding_speed(model)
    hardware.trim_heap()
    return speed


@contextmanager
def _scratch(folder: Path, on_disk: BlocksOnDisk | None, device: torch.device) -> Iterator[Places | None]:
    """Where gradients wait when memory is short: beside the run, because /tmp can be memory as well.

    Its name is that of a checkpoint, so that what a killed run left there goes with its half-written weights.
    """
    if on_disk is None:
        yield None
        return
    from apt_core.passes.tensor_store import ScratchTensors

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="checkpoint.scratch-", dir=folder) as place:
        yield Places(*(ScratchTensors(Path(place) / name, device) for name in Places._fields))


def _check_pattern(layers: list[Layer], pattern: Unstructured | SemiStructured) -> None:
    for layer in layers:
        pattern.check_width(layer.in_features, f"{layer.name} (block {layer.block})")
