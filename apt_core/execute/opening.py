"""What a run begins with: the model where it has room, and the token windows of both texts."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from apt_core import families
from apt_core.base import hardware
from apt_core.events import Event, ModelLoaded, Warned
from apt_core.execute.context import Context
from apt_core.families import Layer
from apt_core.jobs import Calibration, Evaluation, Job
from apt_core.jobs import Prune as Recipe
from apt_core.models.catalogue.entries import title_of
from apt_core.models.catalogue.facts import folder_facts
from apt_core.models.fetch.background import with_progress
from apt_core.models.fetch.gguf import unpacked_from
from apt_core.models.fetch.sources import resolve
from apt_core.models.load.placement import Placement, Room, Sizes, placement, spread_sentence
from apt_core.texts.sources import TEXTS, Split, load_text, token_windows

if TYPE_CHECKING:
    from apt_core.models.load.blocks_on_disk import BlocksOnDisk

_DRAW_FROM = 8


def fetch_model(job: Job, context: Context) -> Generator[Event, None, Path]:
    """The folder of the job's model: what a run made as it lies in the store, any other from wherever it comes."""
    if job.model.run is not None:
        return context.made_by(job.model.run).folder
    folder = yield from with_progress(lambda progress: resolve(job.model, progress))
    if packing := unpacked_from(folder):
        yield Warned(
            message=f"The weights are those of a GGUF ({packing}), dequantised; what it had lost did not come back."
        )
    return folder


def load_model(
    recipe: Recipe, folder: Path, dtype: torch.dtype, device: str
) -> Generator[Event, None, tuple[nn.Module, object, BlocksOnDisk | None]]:
    """(model, tokenizer, where its blocks' weights are when they are not in the model)."""
    from apt_core.models.load.loading import load, load_by_block, load_spread
    from apt_core.models.load.skeleton import NotByBlock

    placed = _placement(recipe, folder, dtype, device)
    scarce = placed.kind == "disk"
    hardware.give_back_freed_memory(hardware.SCARCE if scarce else hardware.ROOMY)
    if scarce or (recipe.resources.weights == "auto" and placed == Placement("whole", "cpu", {})):
        try:
            model, tokenizer, on_disk = load_by_block(folder, dtype, placed.device)
        except NotByBlock as why:
            if scarce:
                yield Warned(
                    message=f"The blocks of this model cannot be read from disk one at a time ({why}), so the whole "
                    "model is in memory."
                )
        else:
            on_disk.all_fit = not scarce
            if scarce:
                yield Warned(
                    message="The weights are read from disk block by block, so decoding speed is not measured."
                )
            return model, tokenizer, on_disk
    if placed.kind == "spread":
        model, tokenizer = load_spread(folder, dtype, placed.device_map)
        if said := spread_sentence(model):
            yield Warned(message=said)
        return model, tokenizer, None
    return *load(folder, dtype, placed.device), None


def _placement(recipe: Recipe, folder: Path, dtype: torch.dtype, device: str) -> Placement:
    """What the recipe says of where the weights are; where it leaves that open, what has room."""
    from apt_core.estimate.memory import peak_bytes, working_bytes
    from apt_core.estimate.preflight import free_memory, is_known
    from apt_core.models.load.skeleton import without_weights

    if recipe.resources.weights == "disk":
        return Placement("disk", device, {})
    facts = folder_facts(folder, recipe.model.id, source="local folder")
    facts = facts.with_optional() if recipe.optional_layers else facts
    if not is_known(facts):
        return Placement("whole", device, {})
    name = str(dtype).removeprefix("torch.")
    sizes = Sizes(peak_bytes(recipe, facts, name, "memory"), working_bytes(recipe, facts, name))
    host_free = free_memory()
    rooms = [Room(*gpu) for gpu in hardware.gpus()] if device == "cuda" else [Room(device, host_free)]
    found = placement(sizes, rooms, host_free, lambda: without_weights(folder, dtype))
    if found.kind == "disk" and recipe.resources.weights == "memory":
        return Placement("whole", device, {})
    return found


def windows_of(
    recipe: Recipe, model: nn.Module, tokenizer: object
) -> Generator[Event, None, tuple[Tensor, list[Tensor]]]:
    """Calibration windows and those of every evaluation text, [n, length] token ids each."""
    opening = families.opening_token(model.config, tokenizer)
    own = {one.text for one in recipe.evaluation} - TEXTS.keys()
    if recipe.calibration.text in own:
        yield Warned(
            message="Calibration and evaluation read the same text, so the pruned perplexity is flattered; "
            "choose another evaluation text."
        )
    text = yield from _text(recipe.calibration.text, "calibration")
    calibration = _drawn(tokenizer, text, recipe.calibration, opening, recipe.seed)
    yield from _said_if_few(calibration, recipe.calibration, "calibration")
    return calibration, (yield from evaluation_windows(recipe.evaluation, model, tokenizer))


def evaluation_windows(
    wanted: tuple[Evaluation, ...], model: nn.Module, tokenizer: object
) -> Generator[Event, None, list[Tensor]]:
    """The windows of every text, [n, length] token ids each."""
    opening, found = families.opening_token(model.config, tokenizer), []
    for each in wanted:
        text = yield from _text(each.text, "evaluation")
        windows = token_windows(tokenizer, text, each.length, each.samples, opening)
        yield from _said_if_few(windows, each, "evaluation")
        found.append(windows)
    return found


def _text(name: str, split: Split) -> Generator[Event, None, str]:
    return (yield from with_progress(lambda progress: load_text(name, split, progress)))


def _said_if_few(windows: Tensor, wanted: Calibration | Evaluation, split: Split) -> Iterator[Warned]:
    if len(windows) < wanted.samples:
        yield Warned(
            message=f"The {split} text gives {len(windows)} windows of {wanted.length} tokens, "
            f"not {wanted.samples}; all of them are used."
        )


def _drawn(tokenizer: object, text: str, wanted: Calibration, opening: int | None, seed: int) -> Tensor:
    """Seed 0 reads the first windows of the text; any other seed draws them from a stretch 8 times as long."""
    if seed == 0:
        return token_windows(tokenizer, text, wanted.length, wanted.samples, opening)
    pool = token_windows(tokenizer, text, wanted.length, wanted.samples * _DRAW_FROM, opening)
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[: wanted.samples].sort().values]


def describe(
    job: Job,
    context: Context,
    model: nn.Module,
    folder: Path,
    blocks: nn.ModuleList,
    layers: list[Layer],
    device: str,
    dtype: torch.dtype,
) -> ModelLoaded:
    """What was opened, and what it is opened on."""
    made_by = job.model.run
    return ModelLoaded(
        title=title_of(job.model.id) if made_by is None else context.made_by(made_by).title,
        architecture=type(model).__name__,
        parameters=parameters_of(model),
        prunable=sum(layer.matrix.numel() for layer in layers),
        blocks=len(blocks),
        layers=tuple(dict.fromkeys(layer.name for layer in layers)),
        total_layers=len(layers),
        scans=folder_facts(folder, job.model.id, source="local folder").scans,
        parts={layer.name: tuple(name for name, _ in layer.parts) for layer in layers if layer.parts},
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        hardware=hardware.hardware_name(device),
        versions=hardware.versions(),
    )


def parameters_of(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())  # tied weights count once
