"""The files of a pruned model as they are sent: a zip that is made on the way, packed weights as they were before."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from apt_core.models.checkpoint.headers import INDEX, is_packed
from apt_core.models.checkpoint.packing import DESCRIPTION, PACKED_SUFFIX
from apt_core.models.checkpoint.plain_files import plain_files, plain_index

_CHUNK = 1 << 20


def zip_of(folder: Path, name: str, more: Mapping[str, bytes]) -> Iterator[bytes]:
    """The files of a folder, and `more`, as a zip without compression (weights do not shrink), made while it is
    sent."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for file, content in more.items():
            archive.writestr(f"{name}/{file}", content)
        for file, pieces in plain_content(folder):
            with archive.open(f"{name}/{file}", "w", force_zip64=True) as target:
                for piece in pieces:
                    target.write(piece)
                    yield sink.take()
    yield sink.take()


def plain_content(folder: Path) -> Iterator[tuple[str, Iterable[bytes | memoryview]]]:
    """(name, content in pieces) of every file of a model; packed weights as they were before."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    packed = is_packed(folder)
    for path in files:
        if not (packed and (path.name == DESCRIPTION or path.name.endswith(PACKED_SUFFIX))):
            yield str(path.relative_to(folder)), _chunks(path)
    if packed:
        yield from ((file.name, file.pieces) for file in plain_files(folder))
        if index := plain_index(folder):
            yield INDEX, [index]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            yield chunk


class _Sink(io.RawIOBase):
    """A file that cannot go back: what is written waits until it is taken."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self._waiting += data
        return len(data)

    def take(self) -> bytes:
        out = bytes(self._waiting)
        self._waiting.clear()
        return out
