"""Tensors that wait on disk until they are needed, for runs that must not hold them in memory."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

# Numbered groups of tensors by name: in memory (a dict), or in files.
TensorStore = MutableMapping[int, dict[str, Tensor]]


class ScratchTensors(MutableMapping[int, dict[str, Tensor]]):
    """Numbered groups of tensors, a file for each in `folder`; whoever made the folder above it removes it."""

    def __init__(self, folder: Path, device: torch.device | str):
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._device = str(device)
        self._kept: set[int] = set()

    def __setitem__(self, number: int, tensors: dict[str, Tensor]) -> None:
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, self._file(number))
        self._kept.add(number)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        if number not in self._kept:
            raise KeyError(number)
        # copies: what is mapped must not change with the file, nor the file be replaced under it
        kept = load_file(self._file(number))
        return {name: tensor.clone().to(self._device) for name, tensor in kept.items()}

    def __delitem__(self, number: int) -> None:
        self._kept.remove(number)
        self._file(number).unlink()

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.safetensors"


class KeptTensors(ScratchTensors):
    """The same of files that stay: a group that is taken is only forgotten here."""

    def __init__(self, folder: Path, device: torch.device | str):
        super().__init__(folder, device)
        self._kept = {int(file.stem) for file in folder.glob("*.safetensors") if file.stem.isdecimal()}

    def __delitem__(self, number: int) -> None:
        self._kept.remove(number)
