"""A model as its configuration describes it, with every weight in memory but those of its decoder blocks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from apt_core.base.lazy import lazy
from apt_core.families import decoder_blocks
from apt_core.models.load import uneven
from apt_core.models.load.disk_store import DiskStore, place
from apt_core.models.load.precision import dtype_of_each
from apt_core.models.load.weight_files import WeightFiles
from apt_core.models.load.weight_store import prefix_of

if TYPE_CHECKING:
    import accelerate
    import transformers
    from transformers import PreTrainedModel, conversion_mapping
else:
    accelerate, transformers = lazy("accelerate"), lazy("transformers")
    conversion_mapping = lazy("transformers.conversion_mapping")


class NotByBlock(Exception):
    """The files do not hold this model's weights under the model's own names; the message says what differs."""


def build(
    folder: Path, dtype: torch.dtype, device: torch.device | str, room_for_all: bool = False
) -> tuple[PreTrainedModel, DiskStore]:
    """The model in evaluation mode, without gradients; its blocks have shapes but no weights.

    room_for_all: see `DiskStore`. transformers renames, splits or merges the weights of some families while it loads
    them. That is not repeated here: such a model raises NotByBlock, and whoever asked loads it whole.
    """
    files = WeightFiles(folder)
    model = without_weights(folder, dtype)
    tied = _tied(model, files)
    _check_names(model, files, tied)
    blocks = decoder_blocks(model)
    prefix = prefix_of(model, blocks)
    if any(name.startswith(prefix) for name in tied):
        raise NotByBlock("its blocks share weights")
    of_each = dtype_of_each(model, dtype)
    rest = [name for name in model.state_dict() if not name.startswith(prefix) and name not in tied]
    store = DiskStore(model, blocks, files, of_each, device, rest, room_for_all)
    store.fill_rest()
    for name, buffer in list(model.named_buffers()):
        place(model, name, buffer.to(device))
    model.eval()
    model.requires_grad_(False)
    return model, store


def without_weights(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Parameters on the meta device; buffers that are computed (rotary tables) are real."""
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    with accelerate.init_empty_weights(include_buffers=False):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
        uneven.narrow(model)
    if (folder / "generation_config.json").is_file():
        model.generation_config = transformers.GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def _tied(model: PreTrainedModel, files: WeightFiles) -> set[str]:
    """Names of weights that are another one's (the head of a model with tied embeddings)."""
    pairs = getattr(model, "all_tied_weights_keys", None) or {}
    for name, source in pairs.items():
        if name in files.facts and source in files.facts and not _same(files, name, source):
            raise NotByBlock(f"{name} is stored beside {source} and differs")
    return {name for name, source in pairs.items() if source in files.facts}


def _same(files: WeightFiles, name: str, source: str) -> bool:
    both = files.read([name, source])
    return torch.equal(both[name], both[source])


def _check_names(model: PreTrainedModel, files: WeightFiles, tied: set[str]) -> None:
    if _converted_while_loading(model):
        raise NotByBlock("its weights are rearranged while they are loaded")
    for name, tensor in model.state_dict().items():
        if name in tied:
            continue
        if name not in files.facts:
            raise NotByBlock(f"its files hold no {name}")
        if files.facts[name].shape != tuple(tensor.shape):
            raise NotByBlock(f"{name} has another shape")


def _converted_while_loading(model: PreTrainedModel) -> bool:
    """Does transformers do more with these weights than read them?"""
    try:
        mapping_of = conversion_mapping.get_model_conversion_mapping
    except (ImportError, AttributeError):
        # another version keeps it elsewhere; the names are still compared
        return False
    return bool(mapping_of(model, add_legacy=False))
