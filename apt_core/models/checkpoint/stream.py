"""A safetensors file written one tensor at a time: its header first, so nothing but the tensor at hand is in memory.

The library's own writer wants every tensor of a file at once.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from apt_core.models.checkpoint.headers import TensorFacts

_HEADER_STEP = 8  # its length is a multiple of it, so that what follows is aligned


def header_bytes(tensors: Mapping[str, TensorFacts], metadata: Mapping[str, str]) -> bytes:
    """The header with its length in front. The widest dtypes come first, so each tensor lies aligned."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in sorted(tensors, key=lambda name: (-_width(tensors[name]), name)):
        facts = tensors[name]
        start, end = end, end + facts.n_bytes
        header[name] = {"dtype": facts.dtype, "shape": list(facts.shape), "data_offsets": [start, end]}
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % _HEADER_STEP)
    return struct.pack("<Q", len(raw)) + raw


def file_bytes(tensors: Mapping[str, TensorFacts], metadata: Mapping[str, str]) -> int:
    """How long the file will be."""
    return len(header_bytes(tensors, metadata)) + sum(facts.n_bytes for facts in tensors.values())


class StreamedFile:
    """A context in which every tensor of the header is written once, in any order."""

    def __init__(self, file: Path, tensors: Mapping[str, TensorFacts], metadata: Mapping[str, str]):
        self._file = file
        self._tensors = tensors
        self._header = header_bytes(tensors, metadata)

    def __enter__(self) -> StreamedFile:
        header = json.loads(self._header[8:])
        self._offsets = {name: len(self._header) + header[name]["data_offsets"][0] for name in self._tensors}
        self._left = set(self._tensors)
        self._stream = self._file.open("wb")
        self._stream.write(self._header)
        return self

    def write(self, name: str, tensor: Tensor) -> None:
        """tensor: on the CPU, of the dtype and shape that the header names."""
        facts = self._tensors[name]
        if tensor.numel() * tensor.element_size() != facts.n_bytes:
            raise ValueError(f"{name} has not the size that its header says")
        self._stream.seek(self._offsets[name])
        self._stream.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        self._left.remove(name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if kind is None and self._left:
            raise ValueError(f"{min(self._left)} was never written")


def _width(facts: TensorFacts) -> int:
    return facts.n_bytes // max(facts.numel, 1)
