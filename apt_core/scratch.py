"""Tensors that wait on disk until they are needed, for runs that must not hold them in memory."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor


class ScratchTensors(MutableMapping[int, Tensor]):
    """A dictionary of tensors, one file each in `folder`; whoever made the folder removes it."""

    def __init__(self, folder: Path, device: torch.device | str):
        self._folder = folder
        self._device = str(device)
        self._kept: set[int] = set()

    def __setitem__(self, number: int, tensor: Tensor) -> None:
        save_file({"tensor": tensor.cpu().contiguous()}, self._file(number))
        self._kept.add(number)

    def __getitem__(self, number: int) -> Tensor:
        if number not in self._kept:
            raise KeyError(number)
        # a copy: what is mapped must not change with the file, nor the file be replaced under it
        return load_file(self._file(number))["tensor"].clone().to(self._device)

    def __delitem__(self, number: int) -> None:
        self._kept.remove(number)
        self._file(number).unlink()

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.safetensors"
