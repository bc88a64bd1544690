"""Writing to the cache: locked between processes, refused early when there is no room, errors in words."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from apt_core.base.errors import DISK_FULL_ERRNOS, BadInput, DiskFull, PruneError
from apt_core.base.words import size

_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_MARGIN = 32_000_000  # bytes left for others
_SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def locked(target: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of `target` among all processes; `waiting` is called twice a second until then.

    The lock goes with its process, so one that was killed leaves nothing locked.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    while True:
        try:
            lock.acquire(timeout=_SECONDS_BETWEEN_LOOKS)
            break
        except Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(folder: Path, remedy: str = "set APT_CACHE to a folder that can be written") -> Iterator[None]:
    """Translate what a disk can answer: full -> DiskFull, not ours to write -> BadInput."""
    try:
        yield
    except PruneError:
        raise
    except Exception as error:
        if is_full(error):
            raise DiskFull(
                f"There is no room left on the disk of {folder}; free some space and try again."
            ) from error
        if _error_number(error) in _DENIED:
            raise BadInput(f"The folder {folder} cannot be written; {remedy}.") from error
        raise


def is_full(error: BaseException) -> bool:
    """True when a disk (or a quota, or a limit on file size) had no room for what was written."""
    return _error_number(error) in DISK_FULL_ERRNOS


def _error_number(error: BaseException) -> int | None:
    """The errno of an OSError, or of a message of the safetensors writer that quotes one."""
    if isinstance(error, OSError):
        return error.errno
    numbers = DISK_FULL_ERRNOS | _DENIED
    return next((number for number in numbers if f"(os error {number})" in str(error)), None)


def require_space(folder: Path, n_bytes: int, what: str) -> None:
    """Raise DiskFull when `folder` cannot take `n_bytes` more."""
    free = free_bytes(folder)
    if free < n_bytes + _MARGIN:
        raise DiskFull(
            f"{what} needs {size(n_bytes)} on the disk of {folder}, but only {size(free)} are free; "
            "free some space and try again."
        )


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder that need not exist yet."""
    folder = folder.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def sha256_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
