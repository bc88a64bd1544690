"""What a run begins with: the model where it has room, and the token windows of both texts."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from apt_core import families
from apt_core.base import hardware
from apt_core.base.policy import HostPolicy
from apt_core.events import Event, Warned
from apt_core.jobs.recipe import Calibration, Recipe
from apt_core.models.load.placement import Placement, Room, Sizes, placement
from apt_core.models.load.weight_store import MemoryStore, WeightStore

_DRAW_FROM = 8


def fetch_model(recipe: Recipe, policy: HostPolicy) -> Generator[Event, None, Path]:
    from apt_core.models.fetch.background import with_progress
    from apt_core.models.fetch.gguf import unpacked_from
    from apt_core.models.fetch.sources import resolve

    folder = yield from with_progress(lambda progress: resolve(recipe.model, progress, policy))
    if packing := unpacked_from(folder):
        yield Warned(
            message=f"The weights are those of a GGUF ({packing}), dequantised; what it had lost did not come back."
        )
    return folder


def load_model(
    recipe: Recipe, folder: Path, dtype: torch.dtype, device: str
) -> Generator[Event, None, tuple[nn.Module, object, WeightStore]]:
    """(model, tokenizer, where its weights are): as the recipe says, or where there is room."""
    from apt_core.models.load.loading import load, load_by_block, load_spread
    from apt_core.models.load.skeleton import NotByBlock
    from apt_core.models.load.spread_store import SpreadStore

    placed = _placement(recipe, folder, dtype, device)
    scarce = placed.kind == "disk"
    hardware.give_back_freed_memory(hardware.SCARCE if scarce else hardware.ROOMY)
    if scarce or (recipe.weights == "auto" and placed == Placement("whole", "cpu", {})):
        try:
            model, tokenizer, store = load_by_block(folder, dtype, placed.device, room_for_all=not scarce)
        except NotByBlock as why:
            if scarce:
                yield Warned(
                    message=f"The blocks of this model cannot be read from disk one at a time ({why}), so the whole "
                    "model is in memory."
                )
        else:
            yield from _noticed(store)
            return model, tokenizer, store
    if placed.kind == "spread":
        model, tokenizer = load_spread(folder, dtype, placed.device_map)
        store = SpreadStore(model)
    else:
        model, tokenizer = load(folder, dtype, placed.device)
        store = MemoryStore(model)
    yield from _noticed(store)
    return model, tokenizer, store


def _noticed(store: WeightStore) -> Iterator[Event]:
    if store.notice:
        yield Warned(message=store.notice)


def _placement(recipe: Recipe, folder: Path, dtype: torch.dtype, device: str) -> Placement:
    """What the recipe says of where the weights are; where it leaves that open, what has room."""
    from apt_core.estimate.memory import peak_bytes, working_bytes
    from apt_core.estimate.preflight import free_memory, is_known
    from apt_core.models.catalogue.facts import folder_facts
    from apt_core.models.load.skeleton import without_weights

    if recipe.weights == "disk":
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
    if found.kind == "disk" and recipe.weights == "memory":
        return Placement("whole", device, {})
    return found


def windows_of(
    recipe: Recipe, model: nn.Module, tokenizer: object, policy: HostPolicy
) -> Generator[Event, None, tuple[Tensor, Tensor]]:
    """Calibration and evaluation windows, [n, length] token ids each."""
    from apt_core.models.fetch.background import with_progress
    from apt_core.texts.sources import never_overlaps, read
    from apt_core.texts.windows import token_windows

    shared = recipe.calibration.text == recipe.evaluation.text
    if shared and not never_overlaps(recipe.calibration.text):
        yield Warned(
            message="Calibration and evaluation read the same text, so the pruned perplexity is flattered; "
            "choose another evaluation text."
        )
    opening, found = families.opening_token(model.config, tokenizer), []
    for wanted, split in ((recipe.calibration, "calibration"), (recipe.evaluation, "evaluation")):
        text, note = yield from with_progress(
            lambda progress, wanted=wanted, split=split: read(wanted.text, split, progress, policy, shared)
        )
        if note:
            yield Warned(message=note)
        if split == "calibration":
            windows = _drawn(tokenizer, text, wanted, opening, recipe.seed)
        else:
            windows = token_windows(tokenizer, text, wanted.length, wanted.samples, opening)
        if len(windows) < wanted.samples:
            yield Warned(
                message=f"The {split} text gives {len(windows)} windows of {wanted.length} tokens, "
                f"not {wanted.samples}; all of them are used."
            )
        found.append(windows)
    return found[0], found[1]


def _drawn(tokenizer: object, text: str, wanted: Calibration, opening: int | None, seed: int) -> Tensor:
    """Seed 0 reads the first windows of the text; any other seed draws them from a stretch 8 times as long."""
    from apt_core.texts.windows import token_windows

    if seed == 0:
        return token_windows(tokenizer, text, wanted.length, wanted.samples, opening)
    pool = token_windows(tokenizer, text, wanted.length, wanted.samples * _DRAW_FROM, opening)
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[: wanted.samples].sort().values]
