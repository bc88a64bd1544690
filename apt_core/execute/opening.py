"""What a run begins with: the model where it has room, and the token windows of both texts."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from apt_core import families
from apt_core.base import hardware
from apt_core.events import Event, Warned
from apt_core.jobs.recipe import Calibration, Recipe
from apt_core.models.load.placement import Placement, spread_sentence

if TYPE_CHECKING:
    from apt_core.models.load.blocks_on_disk import BlocksOnDisk

_DRAW_FROM = 8

# (recipe, the model's folder, float type, device) -> where the weights go: whoever starts a run decides.
Place = Callable[[Recipe, Path, torch.dtype, str], Placement]


def fetch_model(recipe: Recipe) -> Generator[Event, None, Path]:
    from apt_core.models.fetch.background import with_progress
    from apt_core.models.fetch.gguf import unpacked_from
    from apt_core.models.fetch.sources import resolve

    folder = yield from with_progress(lambda progress: resolve(recipe.model, progress))
    if packing := unpacked_from(folder):
        yield Warned(
            message=f"The weights are those of a GGUF ({packing}), dequantised; what it had lost did not come back."
        )
    return folder


def load_model(
    recipe: Recipe, folder: Path, dtype: torch.dtype, device: str, place: Place
) -> Generator[Event, None, tuple[nn.Module, object, BlocksOnDisk | None]]:
    """(model, tokenizer, where its blocks' weights are when they are not in the model)."""
    from apt_core.models.load.loading import load, load_by_block, load_spread
    from apt_core.models.load.skeleton import NotByBlock

    placed = place(recipe, folder, dtype, device)
    scarce = placed.kind == "disk"
    hardware.give_back_freed_memory(hardware.SCARCE if scarce else hardware.ROOMY)
    if scarce or (recipe.weights == "auto" and placed == Placement("whole", "cpu", {})):
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


def as_asked(recipe: Recipe, folder: Path, dtype: torch.dtype, device: str) -> Placement:
    """Where the recipe says that the weights go; in memory where it leaves that open."""
    return Placement("disk" if recipe.weights == "disk" else "whole", device, {})


def windows_of(
    recipe: Recipe, model: nn.Module, tokenizer: object
) -> Generator[Event, None, tuple[Tensor, Tensor]]:
    """Calibration and evaluation windows, [n, length] token ids each."""
    from apt_core.models.fetch.background import with_progress
    from apt_core.texts.sources import TEXTS, load_text, token_windows

    if recipe.calibration.text == recipe.evaluation.text and recipe.calibration.text not in TEXTS:
        yield Warned(
            message="Calibration and evaluation read the same text, so the pruned perplexity is flattered; "
            "choose another evaluation text."
        )
    opening, found = families.opening_token(model.config, tokenizer), []
    for wanted, split in ((recipe.calibration, "calibration"), (recipe.evaluation, "evaluation")):
        text = yield from with_progress(
            lambda progress, wanted=wanted, split=split: load_text(wanted.text, split, progress)
        )
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
    from apt_core.texts.sources import token_windows

    if seed == 0:
        return token_windows(tokenizer, text, wanted.length, wanted.samples, opening)
    pool = token_windows(tokenizer, text, wanted.length, wanted.samples * _DRAW_FROM, opening)
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[: wanted.samples].sort().values]
