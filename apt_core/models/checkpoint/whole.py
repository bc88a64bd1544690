"""Checkpoints: what `transformers` loads again, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.checkpoint.replacing import replacing
from apt_core.models.load.weight_files import WeightFiles

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WEIGHTS = "*.safetensors"
_INDEX = "*.safetensors.index.json"
_LARGEST_FILE = "2GB"  # so much is in memory once more while what was rounded is put right
_FLOATS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def save_checkpoint(model: PreTrainedModel, dense_folder: Path, target: Path, changed: set[str]) -> Path:
    """Write the model's weights as safetensors beside the dense model's tokenizer and configuration.

    Written to a temporary name and renamed when whole, so a reader never meets half a checkpoint; the
    dense folder is only read. changed: names of the parameters that are not the dense model's any more; all
    others are copied as they lie there, file by file, whatever precision the model was computed in.
    Weights keep the dense checkpoint's dtype and its files. Returns `target`.
    Raises BadInput when the pruned model would replace the dense one.
    """
    with replacing(target, dense_folder) as (plain, partial):
        _save_weights(model, plain, partial, changed)
    return target


def _save_weights(model: PreTrainedModel, dense_folder: Path, folder: Path, changed: set[str]) -> None:
    files = sorted(dense_folder.glob(_WEIGHTS))
    stored = {name for file in files for name in _names(file)}
    if not changed <= stored:  # transformers keeps some families' weights under other names than their files
        for index in folder.glob(_INDEX):
            index.unlink()
        _save_all(model, stored_dtype(dense_folder) or next(model.parameters()).dtype, folder)
        _restore_unchanged(dense_folder, folder, next(model.parameters()).dtype)
        return
    pruned = _pruned_parameters(model, changed)
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            kept = {
                name: pruned[name].to(tensors.get_tensor(name).dtype).cpu().contiguous()
                if name in pruned
                else tensors.get_tensor(name)
                for name in tensors.keys()  # noqa: SIM118 - not a dict
            }
            save_file(kept, folder / file.name, metadata=tensors.metadata() or {"format": "pt"})


def _pruned_parameters(model: nn.Module, changed: set[str]) -> dict[str, torch.Tensor]:
    """By name; a weight that several blocks share under the name of each, because its file may hold it twice."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    known = {id(parameters[name]) for name in changed}
    return {
        name: weight.detach() if name in changed else weight.detach().clone()
        for name, weight in parameters.items()
        if id(weight) in known
    }


def _names(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as tensors:
        return list(tensors.keys())


def _save_all(model: PreTrainedModel, dtype: torch.dtype, folder: Path) -> None:
    tied = _tied(model)
    state = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
        if name not in tied
    }
    before = model.config.dtype
    model.config.dtype = dtype
    try:
        model.save_pretrained(folder, state_dict=state, max_shard_size=_LARGEST_FILE)
    finally:
        model.config.dtype = before


def _restore_unchanged(dense_folder: Path, folder: Path, computed: torch.dtype) -> None:
    """Put what pruning left alone back as the dense files have it, where it was rounded on its way.

    transformers has written the files' own names again, but which of them hold what was pruned it does not
    say; a tensor that is the dense one but for rounding was not changed.
    """
    if _all_dtypes(dense_folder) == {computed}:
        return
    dense = WeightFiles(dense_folder)
    for file in sorted(folder.glob(_WEIGHTS)):
        with safe_open(file, framework="pt") as tensors:
            metadata = tensors.metadata() or {"format": "pt"}
            kept = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 - not a dict
        for name, saved in kept.items():
            before = dense.read([name])[name] if name in dense.facts else None
            if before is not None and _is_rounded(before, saved, computed):
                kept[name] = before
        save_file(kept, file.with_suffix(".tmp"), metadata=metadata)
        file.with_suffix(".tmp").replace(file)


def _is_rounded(before: torch.Tensor, saved: torch.Tensor, computed: torch.dtype) -> bool:
    if before.shape != saved.shape or not saved.is_floating_point():
        return False
    return any(torch.equal(way.to(saved.dtype), saved) for way in (before, before.to(computed)))


def _tied(model: nn.Module) -> set[str]:
    """Names of tensors that share the memory of one named before them (tied embeddings)."""
    seen: set[int] = set()
    shared: set[str] = set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() in seen:
            shared.add(name)
        seen.add(tensor.data_ptr())
    return shared


def stored_dtype(folder: Path) -> torch.dtype | None:
    """The float dtype in which a safetensors folder keeps most of its weights, None when it has none.

    Not that of the first tensor: beside weights in half precision a few others can be in float32.
    """
    held: dict[torch.dtype, int] = {}
    for facts in checkpoints.read_tensors(folder).values():
        if dtype := _FLOATS.get(facts.dtype):
            held[dtype] = held.get(dtype, 0) + facts.numel
    return max(held, key=held.__getitem__, default=None)


def _all_dtypes(folder: Path) -> set[torch.dtype | None]:
    return {_FLOATS.get(facts.dtype) for facts in checkpoints.read_tensors(folder).values()}


def checkpoint_bytes(folder: Path) -> int:
    """Size of the weights on disk."""
    return sum(file.stat().st_size for file in folder.glob(_WEIGHTS))
