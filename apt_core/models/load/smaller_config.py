"""The configuration of a model with fewer or narrower blocks, and whether transformers builds that model from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import accelerate
import transformers

from apt_core.base.errors import BadInput
from apt_core.families import block_widths, decoder_blocks, stating
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.load import uneven

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel

    Shapes = Mapping[str, tuple[int, ...]]

_BLOCKS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_PER_BLOCK = ("layer", "block")  # in the names of lists with one entry for each block
_NUMBERS = ("indices", "layer_ids")  # at the end of the names of lists of block numbers


def with_blocks(
    folder: Path, config: PretrainedConfig, kept: Sequence[int], more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """config.json for the blocks that stay. config: as transformers has read it, with what it works out itself. more:
    what else changes."""
    text = config.get_text_config()
    count = text.num_hidden_layers
    changes: dict[str, Any] = {**(more or {}), "num_hidden_layers": len(kept)}
    for name, value in text.to_dict().items():
        if not isinstance(value, list | tuple):
            continue
        if name.endswith(_NUMBERS) and all(isinstance(one, int) for one in value):
            changes[name] = [place for place, block in enumerate(kept) if block in value]
        elif len(value) == count and any(word in name for word in _PER_BLOCK):
            changes[name] = [value[block] for block in kept]
    if widths := block_widths(text.to_dict()):
        changes |= stating([widths[block] for block in kept])
    return changed(folder, changes, _BLOCKS)


def changed(folder: Path, changes: Mapping[str, Any], same: Sequence[str] = ()) -> dict[str, Any]:
    """config.json with these values in the part that describes the language model.

    same: names for one value, of which the file has one; the first of `changes` among them goes under that name. What
    becomes None is left out.
    """
    whole = checkpoints.read_config(folder)
    nested = whole.get("text_config")
    text = dict(nested) if isinstance(nested, dict) and nested else whole
    for name, value in changes.items():
        own = next((known for known in same if known in text), name) if name in same else name
        text[own] = value
        if value is None:
            del text[own]
    return whole | {"text_config": text} if text is not whole else text


def check_builds(config: Mapping[str, Any], wanted: Sequence[Shapes]) -> None:
    """Raise BadInput unless blocks with tensors of exactly these names and shapes are built: by transformers alone, or
    with the widths that `uneven` gives them."""
    model = _built(config)
    found = [shapes_of(block) for block in decoder_blocks(model)]
    if len(found) != len(wanted):
        raise _not_alike(f"{len(found)} blocks instead of {len(wanted)}")
    for index, (ours, theirs) in enumerate(zip(wanted, found, strict=True)):
        if ours != theirs:
            names = ours.keys() ^ theirs.keys()
            differs = sorted(names) or [name for name in ours if ours[name] != theirs[name]]
            raise _not_alike(f"block {index} differs in {differs[0]}")


def shapes_of(block: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in block.state_dict().items()}


def _built(config: Mapping[str, Any]) -> PreTrainedModel:
    """Read from a file, as anybody's transformers will read it; weights have shapes alone."""
    try:
        with TemporaryDirectory() as place, accelerate.init_empty_weights(include_buffers=False):
            (Path(place) / "config.json").write_text(json.dumps(config), encoding="utf-8")
            read = transformers.AutoConfig.from_pretrained(
                place, trust_remote_code=False, local_files_only=True
            )
            model: PreTrainedModel = transformers.AutoModelForCausalLM.from_config(
                read, trust_remote_code=False
            )
            uneven.narrow(model)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise _not_alike(" ".join(str(error).split())[:120]) from error
    return model


def _not_alike(why: str) -> BadInput:
    return BadInput(
        f"The configuration of this model cannot describe what would be left ({why}), so nothing could load it; "
        "choose the last blocks (criterion=last), another model, or a method that removes single weights."
    )
