"""A checkpoint written block by block, for models whose blocks are never in memory together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from apt_core.export import copy_companions, partial_of
from apt_core.models.checkpoints import INDEX
from apt_core.models.lazy import BlocksOnDisk
from apt_core.models.weight_files import WeightFiles

_BYTES_PER_FILE = 256_000_000  # of what is no block: so much of it is in memory while it is copied


class ShardedCheckpoint:
    """One safetensors file per block as soon as that is pruned, then everything else as the dense model has it.

    A context: what is not finished when it ends is removed, so a reader never meets half a checkpoint.
    """

    def __init__(self, dense_folder: Path, target: Path, weights: BlocksOnDisk):
        """Raises BadInput when the pruned model would replace the dense one."""
        self._dense_folder = dense_folder
        self._target = target
        self._partial = partial_of(target, dense_folder)
        self._weights = weights
        self._dense = WeightFiles(dense_folder)
        self._file_of: dict[str, str] = {}  # tensor -> file

    def __enter__(self) -> ShardedCheckpoint:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)  # gone already when finished

    def write_block(self, index: int, block: nn.Module, changed: set[str]) -> None:
        """changed: names inside the block of the tensors that are not the dense model's any more."""
        start = self._weights.name(index, "")
        tensors = self._dense.read([name for name in self._dense.facts if name.startswith(start)])
        for inside in changed:
            name = start + inside
            tensors[name] = block.get_parameter(inside).detach().to("cpu", tensors[name].dtype).contiguous()
        self._save(f"model-block-{index:05}.safetensors", tensors)

    def finish(self) -> Path:
        """Copy what is left, write the index, and let the whole folder appear under its name."""
        copy_companions(self._dense_folder, self._partial)
        for number, names in enumerate(self._rest()):
            self._save(f"model-rest-{number:05}.safetensors", self._dense.read(names))
        total = sum(file.stat().st_size for file in self._partial.glob("*.safetensors"))
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(self._file_of.items()))}
        (self._partial / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(self._target, ignore_errors=True)
        self._partial.rename(self._target)
        return self._target

    def _save(self, name: str, tensors: dict) -> None:
        save_file(tensors, self._partial / name, metadata={"format": "pt"})
        self._file_of |= dict.fromkeys(tensors, name)

    def _rest(self) -> Iterator[list[str]]:
        """Names of the tensors that were not written yet, in handfuls."""
        handful: list[str] = []
        held = 0
        for name in [name for name in self._dense.facts if name not in self._file_of]:
            n_bytes = self._dense.facts[name].n_bytes
            if handful and held + n_bytes > _BYTES_PER_FILE:
                yield handful
                handful, held = [], 0
            handful.append(name)
            held += n_bytes
        if handful:
            yield handful
