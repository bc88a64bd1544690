"""Single tensors out of the safetensors files of a folder, plain or packed: what is not asked for is not read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.checkpoint.headers import TensorFacts
from apt_core.models.checkpoint.packed_tensor import Parts, unpack
from apt_core.models.checkpoint.packing import BITS, KEPT, PackedTensor, packed_name

_FLOATS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64}


class Place(NamedTuple):
    """Where a tensor of floats lies."""

    file: Path
    offset: int  # of its first byte
    dtype: torch.dtype


class WeightFiles:
    """Which file holds which tensor, from the headers alone."""

    def __init__(self, folder: Path):
        self.facts: dict[str, TensorFacts] = {}
        self._file: dict[str, Path] = {}
        self._packed: dict[str, PackedTensor] = {}
        if checkpoints.is_packed(folder):
            self._find_packed(folder)
            return
        for file in checkpoints.weight_files(folder):
            found = checkpoints.read_header(file)
            self.facts |= found
            self._file |= dict.fromkeys(found, file)

    def _find_packed(self, folder: Path) -> None:
        """Each tensor under its own name, as it is when unpacked."""
        self.facts = checkpoints.read_tensors(folder)
        for plain, held in checkpoints.read_packing(folder).files.items():
            file = folder / packed_name(plain)
            self._packed |= held.tensors
            names = {*checkpoints.read_header(file), *held.tensors} & self.facts.keys()
            self._file |= dict.fromkeys(names, file)

    @property
    def files(self) -> list[Path]:
        return sorted(set(self._file.values()))

    def names_in(self, file: Path) -> list[str]:
        """The tensors that this file holds, whole or as parts."""
        return [name for name, held_in in self._file.items() if held_in == file]

    def place(self, name: str) -> Place:
        """Raises KeyError for a packed tensor, which lies nowhere as a whole."""
        if name in self._packed:
            raise KeyError(name)
        return Place(self._file[name], self.facts[name].offset, _FLOATS[self.facts[name].dtype])

    def read(
        self,
        names: Collection[str],
        dtype: Callable[[str], torch.dtype] | None = None,
        device: torch.device | str = "cpu",
    ) -> dict[str, Tensor]:
        """These tensors; floats as `dtype` says of each name (as they are stored when None).

        The files are closed again: a mapped file counts as memory of the process for as long as it is open.
        """
        tensors: dict[str, Tensor] = {}
        for file in sorted({self._file[name] for name in names}):
            with safe_open(file, framework="pt") as opened:
                for name in names:
                    if self._file[name] == file:
                        tensor = self._get(opened, name)
                        wanted = dtype(name) if dtype and tensor.is_floating_point() else None
                        tensors[name] = tensor.to(device=device, dtype=wanted)
        return tensors

    def _get(self, opened: Any, name: str) -> Tensor:
        """As it is stored, or, of a packed tensor, as it was before."""
        if (form := self._packed.get(name)) is None:
            tensor: Tensor = opened.get_tensor(name)
            return tensor
        return unpack(Parts(opened.get_tensor(name + KEPT), opened.get_tensor(name + BITS)), form, name)
