"""What a node of a cluster keeps for later tasks: folders of its cache, of which those used longest ago go.

Each folder has a lock beside it, held in common by the tasks that use the folder, and alone by whoever makes or removes
it; a task that is killed gives it back with its process. Linux and macOS (`flock`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from apt_core.base.paths import folder_bytes

_LOCK, _PART = ".lock", ".part"


@contextmanager
def held(folder: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """The folder, there and not removed while the context lasts. make: fills a new one; it is whole or not there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with _locked(folder, fcntl.LOCK_SH) as lock:
            if folder.is_dir():
                os.utime(lock)
                yield folder
                return
        with _locked(folder, fcntl.LOCK_EX):
            _made(folder, make)


def keep_within(rooms: tuple[Path, ...], most: int) -> list[Path]:
    """Remove what was used longest ago of the folders in `rooms`, until all of them take at most so many bytes; what a
    task uses stays. Returns what is gone."""
    kept = sorted((folder for room in rooms for folder in _kept_in(room)), key=_used_at)
    sizes = {folder: folder_bytes(folder) + folder_bytes(_beside(folder, _PART)) for folder in kept}
    left, gone = sum(sizes.values()), list[Path]()
    for folder in kept:
        if left <= most:
            break
        if _removed(folder):
            left -= sizes[folder]
            gone.append(folder)
    return gone


def _made(folder: Path, make: Callable[[Path], None]) -> None:
    """Nothing where another task has made it meanwhile; what a killed one left half made goes first."""
    if folder.is_dir():
        return
    partial = _beside(folder, _PART)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    make(partial)
    partial.rename(folder)


def _removed(folder: Path) -> bool:
    """False where a task uses it."""
    try:
        with _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for place in (folder, _beside(folder, _PART)):
                shutil.rmtree(place, ignore_errors=True)
            _beside(folder, _LOCK).unlink(missing_ok=True)
    except OSError:
        return False
    return not folder.exists()


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[int]:
    """The lock beside a folder, a file that whoever removes the folder removes too: one that is gone counts for
    nothing, so it is opened again."""
    path = _beside(folder, _LOCK)
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, how)
            if _is_still(path, lock):
                yield lock
                return
        finally:
            os.close(lock)


def _is_still(path: Path, lock: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(lock))
    return False


def _kept_in(room: Path) -> set[Path]:
    """Every folder of it, also what is half made."""
    if not room.is_dir():
        return set()
    return {
        room / path.name.removeprefix(".").removesuffix(_PART) if path.name.startswith(".") else path
        for path in room.iterdir()
        if path.is_dir()
    }


def _used_at(folder: Path) -> float:
    """When a task began to use it last; 0 for what nobody has used since this is written down."""
    try:
        return os.stat(_beside(folder, _LOCK)).st_mtime
    except OSError:
        return 0.0


def _beside(folder: Path, kind: str) -> Path:
    return folder.with_name(f".{folder.name}{kind}")
