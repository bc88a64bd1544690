"""A checkpoint written while its run goes on: one block's pruned weights at a time, over a copy of the dense files."""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import Tensor, uint8

from apt_core.models.checkpoint.companions import copy_companions, partial_of
from apt_core.models.checkpoint.headers import is_packed
from apt_core.models.checkpoint.plain_files import unpack_weights
from apt_core.models.load.weight_files import WeightFiles


class PatchedCheckpoint:
    """The dense model's files, its pruned weights replaced where they lie.

    A pruned matrix has the name, the type and the shape of the dense one, so it has its bytes' place in the file as
    well: nothing else is touched, and never more than one matrix is in memory. Files, their names and their order
    stay those of the dense model. A packed dense model is unpacked first.

    A context: what is not finished when it ends is removed, so a reader never meets half a checkpoint.
    """

    def __init__(self, dense_folder: Path, target: Path):
        """Raises BadInput when the pruned model would replace the dense one."""
        self._dense_folder = dense_folder
        self._target = target
        self._partial = partial_of(target, dense_folder)
        self._dense = WeightFiles(dense_folder)

    def __enter__(self) -> PatchedCheckpoint:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        if is_packed(self._dense_folder):
            unpack_weights(self._dense_folder, self._partial)
            self._dense = WeightFiles(self._partial)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)  # gone already when finished

    def replace(self, name: str, weight: Tensor) -> None:
        """Put a pruned matrix, rounded to the type of the file, where the dense one lies."""
        place = self._dense.place(name)
        stored = weight.to("cpu", place.dtype).contiguous()
        with self._copied(place.file).open("r+b") as copy:
            copy.seek(place.offset)
            copy.write(stored.view(uint8).numpy().data)

    def finish(self) -> Path:
        """Copy what was not touched, and let the whole folder appear under its name."""
        copy_companions(self._dense_folder, self._partial)
        for file in self._dense.files:
            self._copied(file)
        shutil.rmtree(self._target, ignore_errors=True)
        self._partial.rename(self._target)
        return self._target

    def _copied(self, file: Path) -> Path:
        copy = self._partial / file.name
        if not copy.exists():
            shutil.copyfile(file, copy)  # not copy2: the dense one may be read-only
        return copy
