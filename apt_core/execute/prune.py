"""One run, from recipe to checkpoint: `for event in run(recipe)` is the whole protocol.

    load -> dense perplexity -> for every block: statistics, prune its layers, propagate -> save
         -> pruned perplexity -> speed and size

Blocks are sequential: each is pruned with the inputs that the already pruned blocks produce.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from apt_core import families
from apt_core.base import hardware
from apt_core.base.clock import Clock
from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.policy import PRIVATE, HostPolicy
from apt_core.events import (
    Event,
    Finished,
    LayerPruned,
    Measured,
    ModelLoaded,
    Progress,
    Side,
    Warned,
)
from apt_core.execute.opening import fetch_model, load_model, windows_of
from apt_core.execute.prune_blocks import Calibrated, prune_blocks
from apt_core.families import Layer
from apt_core.jobs.recipe import Recipe
from apt_core.measure.dense_cache import dense_perplexity_events
from apt_core.measure.perplexity import decoding_speed, perplexity_events
from apt_core.models.checkpoint.whole import checkpoint_bytes, stored_dtype
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.layer_walk import WalkName

__all__ = ["choose_device", "choose_dtype", "run"]

# The recipe and the dense model's folder -> the walk that a recipe of `walk="auto"` gets.
ChooseWalk = Callable[[Recipe, Path], WalkName]


def always_halting(recipe: Recipe, folder: Path) -> WalkName:
    return "halting"


def run(
    recipe: Recipe,
    folder: Path | None = None,
    policy: HostPolicy = PRIVATE,
    choose_walk: ChooseWalk = always_halting,
) -> Iterator[Event]:
    """Prune as the recipe says, yielding an event for everything that happens.

    folder: where `checkpoint/` (the pruned safetensors) goes; a temporary folder when None, gone at the end.
    Closing the generator stops the run; nothing half-written stays behind.
    Raises PruneError for what the user can change; out-of-memory and OSErrors pass through.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="apt-run-") as temporary:
            for event in _run(recipe, Path(temporary), policy, choose_walk):
                kept = event.model_copy(update={"checkpoint": ""}) if isinstance(event, Finished) else event
                yield kept
    else:
        yield from _run(recipe, folder, policy, choose_walk)


class _Opened(NamedTuple):
    """A model that was loaded from `folder`, and the token windows of both texts."""

    recipe: Recipe
    folder: Path
    model: nn.Module
    store: WeightStore
    layers: list[Layer]  # of all blocks
    calibration: Tensor
    evaluation: Tensor


def _run(recipe: Recipe, folder: Path, policy: HostPolicy, choose_walk: ChooseWalk) -> Iterator[Event]:
    clock = Clock()
    device = choose_device(recipe.device)
    dtype = choose_dtype(device, recipe.dtype)
    with clock("load"):
        opened = yield from _open(recipe, dtype, device, policy)
    _check_pattern(opened.layers, recipe.pattern)
    if guessed := families.what_was_guessed(opened.model, opened.layers):
        yield Warned(message=guessed)
    yield _describe(opened, device, dtype)

    with clock("dense_eval"):
        yield (
            yield from dense_perplexity_events(
                opened.model, opened.evaluation, recipe.evaluation.text, opened.folder, opened.store
            )
        )
    yield from _measure(opened, "dense", opened.folder, clock)

    walk = choose_walk(recipe, opened.folder) if recipe.walk == "auto" else recipe.walk
    checkpoint, removed = yield from _prune(opened, folder, walk, stored_dtype(opened.folder) or dtype, clock)

    with clock("pruned_eval"):
        yield (
            yield from perplexity_events(
                opened.model, opened.evaluation, "pruned", recipe.evaluation.text, opened.store
            )
        )
    yield from _measure(opened, "pruned", checkpoint, clock)
    yield Finished(
        sparsity=removed / _prunable(opened.layers),
        parameters=_parameters(opened.model),
        removed=removed,
        seconds={stage: round(spent, 3) for stage, spent in (clock.seconds | {"total": clock.total}).items()},
        peak_rss_bytes=hardware.peak_rss_bytes(),
        checkpoint=str(checkpoint),
    )


def _open(
    recipe: Recipe, dtype: torch.dtype, device: str, policy: HostPolicy
) -> Generator[Event, None, _Opened]:
    folder = yield from fetch_model(recipe, policy)
    model, tokenizer, store = yield from load_model(recipe, folder, dtype, device)
    calibration, evaluation = yield from windows_of(recipe, model, tokenizer, policy)
    layers = families.all_layers(store.blocks, recipe.optional_layers)
    return _Opened(recipe, folder, model, store, layers, calibration, evaluation)


def _prune(
    opened: _Opened, folder: Path, walk: WalkName, stored: torch.dtype, clock: Clock
) -> Generator[Event, None, tuple[Path, int]]:
    """(the pruned model's checkpoint, how many weights were removed)."""
    store, removed = opened.store, 0
    entry = next(opened.model.parameters()).device  # where tokens enter
    with store.writing(opened.folder, folder / "checkpoint"):
        with clock("prune"), store.scratch(folder) as scratch:
            calibrated = Calibrated(
                opened.recipe,
                opened.model,
                store,
                opened.layers,
                opened.calibration.to(entry),
                stored,
                scratch,
                walk,
            )
            for event in prune_blocks(calibrated, clock):
                removed += event.removed if isinstance(event, LayerPruned) else 0
                yield event
        with clock("save"):
            yield Progress(stage="save", done=0, total=1, detail="pruned weights")
            checkpoint = store.finish()
    store.then_read(checkpoint)
    return checkpoint, removed


def _measure(opened: _Opened, side: Side, folder: Path, clock: Clock) -> Iterator[Event]:
    """Decoding speed, None where the model cannot be called as a whole, and size on disk."""
    with clock("measure"):
        yield Progress(stage="measure", done=int(side == "pruned"), total=2, detail=f"{side} decoding speed")
        with opened.store.all_loaded() as why_not:
            speed = None if why_not else decoding_speed(opened.model)
        yield Measured(side=side, tokens_per_second=speed, bytes_on_disk=checkpoint_bytes(folder))


def _check_pattern(layers: list[Layer], pattern: Unstructured | SemiStructured) -> None:
    for layer in layers:
        pattern.check_width(layer.in_features, f"{layer.name} (block {layer.block})")


def _describe(opened: _Opened, device: str, dtype: torch.dtype) -> ModelLoaded:
    from apt_core.models.catalogue.entries import title_of
    from apt_core.models.catalogue.facts import folder_facts

    return ModelLoaded(
        title=title_of(opened.recipe.model.id),
        architecture=type(opened.model).__name__,
        parameters=_parameters(opened.model),
        prunable=_prunable(opened.layers),
        blocks=len(opened.store.blocks),
        layers=tuple(dict.fromkeys(layer.name for layer in opened.layers)),
        total_layers=len(opened.layers),
        scans=folder_facts(opened.folder, opened.recipe.model.id, source="local folder").scans,
        parts={layer.name: tuple(name for name, _ in layer.parts) for layer in opened.layers if layer.parts},
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        hardware=hardware.hardware_name(device),
        versions=hardware.versions(),
    )


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())  # tied weights count once


def _prunable(layers: list[Layer]) -> int:
    return sum(layer.matrix.numel() for layer in layers)
