"""What a run begins with: the model, placed where there is memory, and the token windows of its texts."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from apt_core import families
from apt_core.base import hardware
from apt_core.base.errors import BadText, NotAModel
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.policy import HostPolicy
from apt_core.events import Event, ModelLoaded, Progress, Subject, Warned
from apt_core.execute.context import Context
from apt_core.families import Layer
from apt_core.jobs import Calibration, Evaluation, Job, ModelRef, Pruning, Recover, Search
from apt_core.jobs.parts import Choosing, Training
from apt_core.models.catalogue.entries import title_of
from apt_core.models.catalogue.facts import folder_facts
from apt_core.models.fetch.background import with_progress
from apt_core.models.fetch.gguf import unpacked_from
from apt_core.models.fetch.hub_cache import licence_of
from apt_core.models.fetch.sources import resolve
from apt_core.models.load.loading import load, load_by_block, load_spread
from apt_core.models.load.placement import Placement
from apt_core.models.load.skeleton import NotByBlock
from apt_core.models.load.spread_store import SpreadStore
from apt_core.models.load.weight_store import MemoryStore, WeightStore
from apt_core.texts.overlap import overlap
from apt_core.texts.sources import Split, read
from apt_core.texts.windows import token_windows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_DRAW_FROM = 8


class Opened(NamedTuple):
    """A model that was loaded from `folder`: its tokenizer, where its weights are, and the layers of all blocks."""

    folder: Path
    model: PreTrainedModel
    tokenizer: Any
    store: WeightStore
    layers: list[Layer]

    @property
    def device(self) -> torch.device:
        """Where tokens enter, such as cuda:1."""
        return next(self.model.parameters()).device


def fetch_model(job: Job, context: Context) -> Generator[Event, None, Path]:
    """The folder of the job's model: what a run made as it lies in the store, any other from wherever it comes."""
    if job.model.run is not None:
        return context.made_by(job.model.run).folder
    folder = yield from with_progress(
        lambda progress: resolve(job.model, progress, context.policy, context.bounds)
    )
    if packing := unpacked_from(folder):
        yield Warned(
            message=f"The weights are those of a GGUF ({packing}), dequantised; what it had lost did not come back."
        )
    return folder


def open_model(
    job: Job, context: Context, dtype: torch.dtype, device: str, optional_layers: bool = False
) -> Generator[Event, None, Opened]:
    """Fetch the job's model and load it: as the job says, or where there is room."""
    folder = yield from fetch_model(job, context)
    opened = yield from open_folder(job, context, folder, dtype, device, optional_layers)
    if opened.store.notice:
        yield Warned(message=opened.store.notice)
    return opened


def open_folder(
    job: Job, context: Context, folder: Path, dtype: torch.dtype, device: str, optional_layers: bool = False
) -> Generator[Event, None, Opened]:
    """A model that is here, loaded as the job says, or where there is room."""
    placed = (context.place or as_asked)(job, folder, dtype, device)
    model, tokenizer, store = yield from _load(job, folder, dtype, placed)
    return Opened(folder, model, tokenizer, store, families.all_layers(store.blocks, optional_layers))


def open_whole(
    model: ModelRef, job: Job, context: Context, device: str, subject: Subject | None = None
) -> Generator[Event, None, Opened]:
    """A model in float32 with all of its weights in memory, as training needs it."""
    yield Progress(stage="load", subject=subject, done=0, total=1)
    folder = yield from fetch_model(job.model_copy(update={"model": model}), context)
    loaded, tokenizer = load(folder, torch.float32, device)
    store = MemoryStore(loaded)
    return Opened(folder, loaded, tokenizer, store, families.all_layers(store.blocks))


def as_asked(job: Job, folder: Path, dtype: torch.dtype, device: str) -> Placement:
    """Where the job says that the weights go; on one device where it leaves that open."""
    return Placement("disk" if job.resources.weights == "disk" else "whole", device, {})


def _load(
    job: Job, folder: Path, dtype: torch.dtype, placed: Placement
) -> Generator[Event, None, tuple[PreTrainedModel, Any, WeightStore]]:
    scarce = placed.kind == "disk"
    hardware.give_back_freed_memory(hardware.SCARCE if scarce else hardware.ROOMY)
    if scarce or (job.resources.weights == "auto" and placed == Placement("whole", "cpu", {})):
        try:
            return load_by_block(folder, dtype, placed.device, room_for_all=not scarce)
        except NotByBlock as why:
            if scarce:
                yield Warned(
                    message=f"The blocks of this model cannot be read from disk one at a time ({why}), so the whole "
                    "model is in memory."
                )
    if placed.kind == "spread":
        model, tokenizer = load_spread(folder, dtype, placed.device_map)
        return model, tokenizer, SpreadStore(model)
    model, tokenizer = load(folder, dtype, placed.device)
    return model, tokenizer, MemoryStore(model)


def describe(job: Job, context: Context, opened: Opened, dtype: torch.dtype) -> ModelLoaded:
    """What was opened, and what it is computed on."""
    layers = opened.layers
    return ModelLoaded(
        title=titled(job, context),
        architecture=type(opened.model).__name__,
        parameters=parameters_of(opened.model),
        prunable=prunable_of(layers),
        blocks=len(opened.store.blocks),
        layers=tuple(dict.fromkeys(layer.name for layer in layers)),
        total_layers=len(layers),
        scans=folder_facts(opened.folder, job.model.id, source="local folder").scans,
        parts={layer.name: tuple(name for name, _ in layer.parts) for layer in layers if layer.parts},
        device=str(opened.device),
        license=licence_of(job.model.id),
        dtype=str(dtype).removeprefix("torch."),
        hardware=hardware.hardware_name(str(opened.device)),
        versions=hardware.versions(),
    )


def titled(job: Job, context: Context) -> str:
    """What people call the job's model."""
    parent = job.model.run
    return title_of(job.model.id) if parent is None else context.made_by(parent).title


def check_pattern(layers: list[Layer], pattern: Unstructured | SemiStructured) -> None:
    """Raise BadPattern where a layer's inputs cannot be cut into whole groups."""
    for layer in layers:
        pattern.check_width(layer.in_features, f"{layer.name} (block {layer.block})")


def parameters_of(model: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())  # tied weights count once


def prunable_of(layers: list[Layer]) -> int:
    return sum(layer.matrix.numel() for layer in layers)


def calibration_windows(job: Pruning, opened: Opened, policy: HostPolicy) -> Generator[Event, None, Tensor]:
    """[n, length] token ids. Warns where an evaluation reads the same text."""
    wanted = job.calibration
    if _measured_too(wanted.text, job):
        yield Warned(
            message="Calibration and evaluation read the same text, so the pruned perplexity is flattered; "
            "choose another evaluation text."
        )
    text = yield from _text(wanted.text, "calibration", policy, _named_twice(wanted.text, job))
    windows = _drawn(opened, text, wanted, job.seed)
    check_tokens(windows, opened.model)
    yield from _said_if_few(windows, wanted, "calibration")
    return windows


def training_windows(
    job: Recover, opened: Opened, policy: HostPolicy
) -> Generator[Event, None, tuple[Tensor, Tensor]]:
    """(windows to train on, windows that are held out), [n, length] token ids each.

    Raises BadText where an evaluation would read what is trained on, or where there are too few windows.
    """
    same = (
        "Training and evaluation read the same text, so the perplexity would be of what was trained on; choose "
        "another evaluation text."
    )
    return (yield from _with_held_out(job, job.training, opened, policy, "training", same))


def searching_windows(
    job: Search, opened: Opened, policy: HostPolicy
) -> Generator[Event, None, tuple[Tensor, Tensor]]:
    """(windows for statistics, windows that candidates are compared on), [n, length] token ids each.

    Raises BadText where an evaluation would read what candidates are chosen by, or where there are too few windows.
    """
    same = (
        "Search and evaluation read the same text, so the perplexity would be of what was chosen by; choose another "
        "evaluation text."
    )
    return (yield from _with_held_out(job, job.calibration, opened, policy, "calibration", same))


def _with_held_out(
    job: Job, wanted: Training | Choosing, opened: Opened, policy: HostPolicy, said: str, same: str
) -> Generator[Event, None, tuple[Tensor, Tensor]]:
    if _measured_too(wanted.text, job):
        raise BadText(same)
    text = yield from _text(wanted.text, "calibration", policy, _named_twice(wanted.text, job))
    opening = families.opening_token(cast(Any, opened.model.config), opened.tokenizer)
    windows = token_windows(opened.tokenizer, text, wanted.length, wanted.samples + wanted.held_out, opening)
    check_tokens(windows, opened.model)
    if len(windows) <= wanted.held_out:
        raise BadText(
            f"The {said} text gives {len(windows)} windows of {wanted.length} tokens, and {wanted.held_out} are held "
            "out; choose a longer text, shorter windows, or hold fewer out."
        )
    return windows[: -wanted.held_out], windows[-wanted.held_out :]


def _measured_too(text: str, job: Job) -> bool:
    """Whether an evaluation of the job reads what is read of this text."""
    return any(overlap(text, one.text) for one in job.evaluation)


def _named_twice(text: str, job: Job) -> bool:
    return text in {one.text for one in job.evaluation}


def evaluation_windows(
    job: Job, opened: Opened, policy: HostPolicy, calibrated_on: str | None = None
) -> Generator[Event, None, list[Tensor]]:
    """The windows of every evaluation text, [n, length] token ids each."""
    opening, found = families.opening_token(cast(Any, opened.model.config), opened.tokenizer), []
    for each in job.evaluation:
        text = yield from _text(each.text, "evaluation", policy, each.text == calibrated_on)
        reach = each.skip + each.samples
        windows = token_windows(opened.tokenizer, text, each.length, reach, opening)[each.skip :]
        check_tokens(windows, opened.model)
        if not len(windows):
            raise BadText(f"The evaluation text has no window after the first {each.skip}; leave out fewer.")
        yield from _said_if_few(windows, each, "evaluation")
        found.append(windows)
    return found


def check_tokens(windows: Tensor, model: PreTrainedModel) -> None:
    """Raise NotAModel where the tokenizer makes tokens that the model has no embedding for."""
    embedding = cast(torch.nn.Embedding, model.get_input_embeddings())
    rows, most = embedding.weight.shape[0], int(windows.max()) if windows.numel() else 0
    if most >= rows:
        raise NotAModel(
            f"The tokenizer makes token {most:,}, but the model knows {rows:,} tokens only; copy the tokenizer that "
            "belongs to these weights beside them."
        )


def _text(name: str, split: Split, policy: HostPolicy, shared: bool) -> Generator[Event, None, str]:
    text, note = yield from with_progress(lambda progress: read(name, split, progress, policy, shared))
    if note:
        yield Warned(message=note)
    return text


def _said_if_few(windows: Tensor, wanted: Calibration | Evaluation, split: Split) -> Iterator[Warned]:
    if len(windows) < wanted.samples:
        yield Warned(
            message=f"The {split} text gives {len(windows)} windows of {wanted.length} tokens, "
            f"not {wanted.samples}; all of them are used."
        )


def _drawn(opened: Opened, text: str, wanted: Calibration, seed: int) -> Tensor:
    """Seed 0 reads the first windows of the text; any other seed draws them from a stretch 8 times as long."""
    opening = families.opening_token(cast(Any, opened.model.config), opened.tokenizer)
    if seed == 0:
        return token_windows(opened.tokenizer, text, wanted.length, wanted.samples, opening)
    pool = token_windows(opened.tokenizer, text, wanted.length, wanted.samples * _DRAW_FROM, opening)
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[: wanted.samples].sort().values]
