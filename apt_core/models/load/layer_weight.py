"""The weight of one layer out of a folder of safetensors: nothing else of the model is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from apt_core.base.errors import BadInput
from apt_core.families import Family, family_of_type
from apt_core.families.known import UNLISTED
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.checkpoint.headers import IN_BLOCK
from apt_core.models.load.weight_files import WeightFiles

if TYPE_CHECKING:
    from torch import Tensor


def text_config(folder: Path) -> dict[str, Any]:
    """What config.json says of the language model; of a model that also sees, its text part."""
    config = checkpoints.read_config(folder)
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) else config


def family_in(folder: Path) -> Family:
    """The family of a model folder; that of no known family where it is not listed."""
    return family_of_type(text_config(folder).get("model_type")) or UNLISTED


def read_layer(folder: Path, block: int, layer: str) -> Tensor:
    """The matrix [out, in] of a layer in its stored float type.

    Raises BadInput where the files do not hold it as one matrix (experts that are stored together).
    """
    files, family = WeightFiles(folder), family_in(folder)
    name = _name_in(files, family, block, layer)
    weight = files.read([name])[name]
    return weight.T if family.transposed else weight


def _name_in(files: WeightFiles, family: Family, block: int, layer: str) -> str:
    for name, facts in files.facts.items():
        match = IN_BLOCK.fullmatch(name)
        if match is None or int(match["block"]) != block or len(facts.shape) != 2:
            continue
        if family.name_here(match["layer"]) == layer:
            return name
    raise BadInput(
        f"The files store block {block}, {layer} together with other matrices, so it cannot be looked into alone; "
        "choose a layer that is no expert."
    )
