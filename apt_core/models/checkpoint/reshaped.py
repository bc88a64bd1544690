"""A checkpoint with fewer blocks, or narrower ones: written tensor by tensor from another one's files.

No more than one tensor is in memory. Files keep their names; one that would be empty is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from apt_core.families import Family
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.checkpoint.headers import INDEX, TensorFacts
from apt_core.models.checkpoint.replacing import replacing
from apt_core.models.checkpoint.stream import StreamedFile
from apt_core.models.load.weight_files import WeightFiles

# "model.layers.7.self_attn.q_proj.weight" -> what all blocks' names begin with, 7, what is inside the block
_IN_BLOCK = re.compile(
    r"(?P<before>(?:.*?\.)?(?:layers|h|blocks|block|layer)\.)(?P<block>\d+)\.(?P<inside>.+)"
)


class Cut(NamedTuple):
    """The places of a tensor that stay, along one of its dimensions."""

    dimension: int
    kept: tuple[int, ...]


class ModelEdit(NamedTuple):
    """What stays of a model.

    blocks: numbers of those that stay, in order. cuts: (block, name inside it, as transformers has it) -> what stays of
    a tensor; all others stay whole. config: config.json of the smaller model.
    """

    blocks: tuple[int, ...]
    cuts: Mapping[tuple[int, str], Cut]
    config: Mapping[str, Any]


class _Tensor(NamedTuple):
    """A tensor of the smaller model: its name and facts, the name it is read under, and what stays of it."""

    facts: TensorFacts
    source: str
    cut: Cut | None


def write_reshaped(folder: Path, target: Path, edit: ModelEdit, family: Family) -> Path:
    """The model of `folder`, which is only read, as `edit` says; whole or not at all. Returns `target`.

    Raises BadInput when the smaller model would replace the other one.
    """
    with replacing(target, folder) as (plain, partial):
        _write_weights(plain, partial, edit, family)
        (partial / "config.json").write_text(json.dumps(edit.config, indent=2) + "\n", encoding="utf-8")
    return target


def _write_weights(plain: Path, folder: Path, edit: ModelEdit, family: Family) -> None:
    source, placed, total = WeightFiles(plain), dict[str, str](), 0
    for file in source.files:
        tensors = _tensors_of(source, file, edit, family)
        if not tensors:
            continue
        facts = {name: tensor.facts for name, tensor in tensors.items()}
        metadata = checkpoints.read_metadata(file) or {"format": "pt"}
        with StreamedFile(folder / file.name, facts, metadata) as stream:
            for name, tensor in tensors.items():
                stream.write(name, _content(source, tensor))
        placed |= dict.fromkeys(tensors, file.name)
        total += sum(one.n_bytes for one in facts.values())
    if (folder / INDEX).exists():
        index = {"metadata": {"total_size": total}, "weight_map": placed}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _tensors_of(source: WeightFiles, file: Path, edit: ModelEdit, family: Family) -> dict[str, _Tensor]:
    place = {block: number for number, block in enumerate(edit.blocks)}
    found: dict[str, _Tensor] = {}
    for name in source.names_in(file):
        match, facts = _IN_BLOCK.fullmatch(name), source.facts[name]
        if match is None:
            found[name] = _Tensor(facts, name, None)
        elif (block := int(match["block"])) in place:
            cut = edit.cuts.get((block, family.name_here(match["inside"])))
            smaller = f"{match['before']}{place[block]}.{match['inside']}"
            found[smaller] = _Tensor(_cut_facts(facts, cut), name, cut)
    return found


def _cut_facts(facts: TensorFacts, cut: Cut | None) -> TensorFacts:
    if cut is None:
        return facts
    shape = list(facts.shape)
    shape[cut.dimension] = len(cut.kept)
    return TensorFacts(facts.dtype, tuple(shape))


def _content(source: WeightFiles, tensor: _Tensor) -> memoryview:
    whole: Tensor = source.read([tensor.source])[tensor.source]
    if tensor.cut is not None:
        whole = whole.index_select(tensor.cut.dimension, torch.tensor(tensor.cut.kept))
    content: memoryview = whole.contiguous().reshape(-1).view(torch.uint8).numpy().data
    return content
