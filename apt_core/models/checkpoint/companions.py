"""What lies beside the weights of a checkpoint, and the name that it has until it is whole."""

from __future__ import annotations

import shutil
from pathlib import Path

from apt_core.base.errors import BadInput
from apt_core.models.checkpoint.packing import DESCRIPTION

# Everything beside the weights that makes the folder a model again.
_COMPANIONS = ("*.json", "*.jinja", "*.model", "*.txt")


def partial_of(target: Path, dense_folder: Path) -> Path:
    """Where the checkpoint `target` is while it is not whole; raises BadInput when it is the dense one."""
    if target.resolve() == dense_folder.resolve():
        raise BadInput(f"The pruned model would replace the dense one in {target}; choose another folder.")
    return target.with_name(target.name + ".partial")


def copy_companions(dense_folder: Path, folder: Path) -> None:
    """Configuration and tokenizer, and the index of weights that lie in several files.

    The description of packed weights stays behind: whoever packs writes a new one.
    """
    for pattern in _COMPANIONS:
        for companion in dense_folder.glob(pattern):
            if companion.name != DESCRIPTION:
                shutil.copy2(companion, folder / companion.name)
