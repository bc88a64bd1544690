"""A safetensors file written one tensor at a time: its header first, so only the tensor being written is in memory.

The library's own writer wants every tensor of a file at once. No torch.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from apt_core.models.checkpoint.headers import TensorFacts

_HEADER_STEP = 8  # its length is a multiple of it, so that what follows is aligned


def header_bytes(tensors: Mapping[str, TensorFacts], metadata: Mapping[str, str]) -> bytes:
    """The header with its length in front. The widest dtypes come first, so each tensor lies aligned."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in in_file_order(tensors):
        facts = tensors[name]
        start, end = end, end + facts.n_bytes
        header[name] = {"dtype": facts.dtype, "shape": list(facts.shape), "data_offsets": [start, end]}
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % _HEADER_STEP)
    return struct.pack("<Q", len(raw)) + raw


def in_file_order(tensors: Mapping[str, TensorFacts]) -> list[str]:
    """The widest dtypes first, by name among equals."""
    return sorted(tensors, key=lambda name: (-_width(tensors[name]), name))


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

    def write(self, name: str, content: memoryview) -> None:
        """content: the bytes of a tensor of the dtype and shape that the header names."""
        facts = self._tensors[name]
        if content.nbytes != facts.n_bytes:
            raise ValueError(f"{name} has not the size that its header says")
        self._stream.seek(self._offsets[name])
        self._stream.write(content)
        self._left.remove(name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if kind is None and self._left:
            raise ValueError(f"{min(self._left)} was never written")


def _width(facts: TensorFacts) -> int:
    return facts.n_bytes // max(facts.numel, 1)
