"""Perplexity of one model on every text of the job, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from apt_core import families
from apt_core.base import hardware
from apt_core.base.hardware import choose_device, choose_dtype
from apt_core.events import Event, Finished, Progress
from apt_core.execute.context import Context
from apt_core.execute.opening import describe, evaluation_windows, fetch_model
from apt_core.jobs import Evaluate
from apt_core.measure.dense_cache import known_perplexity_events
from apt_core.models.checkpoint.whole import checkpoint_bytes
from apt_core.models.load.loading import load, load_by_block
from apt_core.models.load.skeleton import NotByBlock
from apt_core.models.load.weights import Weights


def run(job: Evaluate, context: Context) -> Iterator[Event]:
    clock = context.clock
    device = choose_device(context.place)
    dtype = choose_dtype(device, job.resources.dtype)
    with clock("load"):
        folder = yield from fetch_model(job, context)
        yield Progress(stage="load", subject="model", done=0, total=1)
        model, tokenizer, on_disk = _open(job, folder, dtype, device)
        texts = yield from evaluation_windows(job.evaluation, model, tokenizer)
    blocks = families.decoder_blocks(model)
    layers = families.all_layers(blocks, False)
    yield describe(job, context, model, folder, blocks, layers, device, dtype)
    with clock("evaluate"):
        for wanted, windows in zip(job.evaluation, texts, strict=True):
            found = yield from known_perplexity_events(model, windows, "model", wanted.text, folder, on_disk)
            yield found
    yield Finished(
        seconds={stage: round(spent, 3) for stage, spent in (clock.seconds | {"total": clock.total}).items()},
        peak_rss_bytes=hardware.peak_rss_bytes(),
    )


def _open(
    job: Evaluate, folder: Path, dtype: torch.dtype, device: str
) -> tuple[nn.Module, object, Weights | None]:
    """(model, tokenizer, where its blocks' weights are when they are not in the model).

    Each text passes every block once, so reading the blocks from disk costs little and saves the model's memory; a
    GPU with room keeps all of them.
    """
    if job.resources.weights == "disk" or (job.resources.weights == "auto" and not _has_room(folder, device)):
        try:
            return load_by_block(folder, dtype, device)
        except NotByBlock:
            pass  # a file format that is read whole
    return *load(folder, dtype, device), None


def _has_room(folder: Path, device: str) -> bool:
    """On the CPU memory is what other programs want too; half of a GPU's is left to what is computed."""
    return device == "mps" or (
        device == "cuda" and 2 * checkpoint_bytes(folder) < max(free for _, free in hardware.gpus())
    )
