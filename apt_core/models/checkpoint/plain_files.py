"""The plain weight files that a packed folder stands for, as bytes in their order, and written down. No torch.

Memory is that of the largest packed tensor, so that a download needs no room on the disk.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.checkpoint.companions import copy_companions
from apt_core.models.checkpoint.headers import TensorFacts
from apt_core.models.checkpoint.packing import BITS, KEPT, PackedFile, PackedTensor, packed_name
from apt_core.models.checkpoint.stored_words import unpacked_words, word_type
from apt_core.models.checkpoint.stream import header_bytes, in_file_order

_PLAIN = {"format": "pt"}  # the metadata that transformers asks for
_PIECE = 1 << 22  # bytes
Header = dict[str, TensorFacts]


class PlainFile(NamedTuple):
    """One weight file as it was before it was packed. pieces: its content, to be taken once."""

    name: str
    n_bytes: int
    tensors: Header
    pieces: Iterator[bytes | memoryview]


def plain_files(folder: Path) -> Iterator[PlainFile]:
    """Every weight file of a packed folder; raises NotAModel where what is stored cannot be trusted."""
    for name, file in checkpoints.read_packing(folder).files.items():
        stored = checkpoints.read_header(folder / packed_name(name))
        tensors = _unpacked(stored, file)
        header = header_bytes(tensors, file.metadata or _PLAIN)
        n_bytes = len(header) + sum(facts.n_bytes for facts in tensors.values())
        pieces = _pieces(folder / packed_name(name), header, tensors, stored, file)
        yield PlainFile(name, n_bytes, tensors, pieces)


def plain_index(folder: Path) -> bytes | None:
    """The index of the plain files; None where there is one file, which needs none."""
    files = list(plain_files(folder))
    if [file.name for file in files] == [checkpoints.SINGLE]:
        return None
    weight_map = {tensor: file.name for file in files for tensor in file.tensors}
    total = sum(facts.n_bytes for file in files for facts in file.tensors.values())
    return json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2).encode()


def unpack_weights(source: Path, folder: Path) -> None:
    """Write the weights of a packed folder, and their index where they are several files, into `folder`."""
    for file in plain_files(source):
        with (folder / file.name).open("wb") as out:
            for piece in file.pieces:
                out.write(piece)
    if index := plain_index(source):
        (folder / checkpoints.INDEX).write_bytes(index)


@contextmanager
def as_plain(folder: Path, beside: Path) -> Iterator[Path]:
    """The folder itself, or, of a packed one, its weights unpacked `beside`, which go when the context ends."""
    if not checkpoints.is_packed(folder):
        yield folder
        return
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        copy_companions(folder, beside)
        unpack_weights(folder, beside)
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _unpacked(stored: Header, file: PackedFile) -> Header:
    parts = {name + suffix for name, tensor in file.tensors.items() for suffix in tensor.parts}
    plain = {name: facts for name, facts in stored.items() if name not in parts}
    return plain | {name: TensorFacts(form.dtype, form.shape) for name, form in file.tensors.items()}


def _pieces(
    packed: Path, header: bytes, tensors: Header, stored: Header, file: PackedFile
) -> Iterator[bytes | memoryview]:
    yield header
    with packed.open("rb") as stream:
        for name in in_file_order(tensors):
            if form := file.tensors.get(name):
                yield _unpacked_bytes(stream, stored, name, form)
            else:
                yield from _copied(stream, stored[name])


def _unpacked_bytes(
    stream: BinaryIO, stored: Mapping[str, TensorFacts], name: str, form: PackedTensor
) -> memoryview:
    kept = np.frombuffer(_bytes(stream, stored[name + KEPT]), dtype=word_type(form))
    bits = np.frombuffer(_bytes(stream, stored[name + BITS]), dtype=np.uint8)
    return unpacked_words(kept, bits, form, name).data.cast("B")


def _bytes(stream: BinaryIO, facts: TensorFacts) -> bytes:
    stream.seek(facts.offset)
    return stream.read(facts.n_bytes)


def _copied(stream: BinaryIO, facts: TensorFacts) -> Iterator[bytes]:
    stream.seek(facts.offset)
    left = facts.n_bytes
    while left and (piece := stream.read(min(left, _PIECE))):
        left -= len(piece)
        yield piece
