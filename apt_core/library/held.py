"""`prune_model`: a model that the caller holds, pruned in place, from within a pipeline of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import time
from typing import TYPE_CHECKING, Any

from apt_core.base.clock import Clock
from apt_core.base.errors import BadInput
from apt_core.base.lazy import lazy
from apt_core.events import Finished, ModelLoaded
from apt_core.events.records import RunRecord
from apt_core.jobs.kinds import prunes
from apt_core.library.asking import plan
from apt_core.library.progress import Watch, watched
from apt_core.library.results import Record

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    import apt_core.base.hardware as hardware
    import apt_core.execute.prune as pruning
    import apt_core.families as families
    import apt_core.texts.windows as windowing
else:
    torch = lazy("torch")
    hardware, pruning = lazy("apt_core.base.hardware"), lazy("apt_core.execute.prune")
    families, windowing = lazy("apt_core.families"), lazy("apt_core.texts.windows")


def prune_model(
    model: PreTrainedModel,
    tokenizer: Any,
    texts: str | Iterable[str] | torch.Tensor,
    method: str = "apt",
    pattern: str | float | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    sparsity: float | str | None = None,
    samples: int = 32,
    length: int = 512,
    optional_layers: bool = False,
    on_event: Watch | None = None,
    progress: bool | None = None,
    **slots: Any,
) -> Record:
    """Prune a causal language model of transformers that you hold, in place; returns the record of its layers.

        model = AutoModelForCausalLM.from_pretrained("...")
        record = apt_core.prune_model(model, tokenizer, texts, method="wanda", sparsity=0.5)
        record.to_frame(); model.save_pretrained("pruned")

    texts: what the calibration windows are cut from: strings that are joined by blank lines, or a tensor of token ids
    [windows, length] (tokenizer may be None then). method, pattern, sparsity, options and slots such as
    allocation="owl" as in `plan`, methods that remove whole structures apart. samples and length: of the windows.
    Perplexity is not measured, and nothing is stored or written. Raises BadInput for what cannot work.
    """
    named = str(getattr(getattr(model, "config", None), "_name_or_path", "") or type(model).__name__)
    more = slots | ({"optional_layers": True} if optional_layers else {})
    job = plan(named, method, pattern, options, sparsity=sparsity, **more)
    if not prunes(job):
        raise BadInput(
            f"{job.method.title} removes structures, which needs a model on the disk; use 'prune'."
        )
    windows = _windows(model, tokenizer, texts, samples, length)
    record = RunRecord(id="held", job=job, created_at=time(), started_at=time(), status="running")
    clock = Clock()
    with watched(record, on_event, progress) as watch:
        watch(_described(model, named, optional_layers))
        for event in pruning.prune_loaded(job, model, windows, clock):
            watch(event)
        removed = sum(layer.removed for layer in watch.record.layers)
        weights = sum(layer.shape[0] * layer.shape[1] for layer in watch.record.layers)
        watch(
            Finished(
                sparsity=removed / max(weights, 1),
                parameters=sum(one.numel() for one in model.parameters()),
                removed=removed,
                seconds=clock.rounded(),
                peak_rss_bytes=hardware.peak_rss_bytes(),
                checkpoint="",
            )
        )
    return Record.of(watch.record, None)


def _windows(model: PreTrainedModel, tokenizer: Any, texts: Any, samples: int, length: int) -> torch.Tensor:
    """[n, length] token ids."""
    if isinstance(texts, torch.Tensor):
        if texts.ndim != 2 or not texts.numel() or texts.is_floating_point():
            raise BadInput("Token ids are a tensor of integers [windows, length].")
        return texts.long()
    if samples < 1 or length < 2:
        raise BadInput("Calibration takes at least one window of two tokens; set samples and length.")
    text = texts if isinstance(texts, str) else "\n\n".join(texts)
    opening = families.opening_token(model.config, tokenizer)
    return windowing.token_windows(tokenizer, text, length, samples, opening)


def _described(model: PreTrainedModel, named: str, optional_layers: bool) -> ModelLoaded:
    blocks = families.decoder_blocks(model)
    layers = families.all_layers(blocks, optional_layers)
    first = next(model.parameters())
    return ModelLoaded(
        title=named.rstrip("/").split("/")[-1],
        architecture=type(model).__name__,
        parameters=sum(one.numel() for one in model.parameters()),
        prunable=sum(layer.matrix.numel() for layer in layers),
        blocks=len(blocks),
        layers=tuple(dict.fromkeys(layer.name for layer in layers)),
        total_layers=len(layers),
        device=str(first.device),
        dtype=str(first.dtype).removeprefix("torch."),
        hardware=hardware.hardware_name(str(first.device)),
        versions=hardware.versions(),
    )
