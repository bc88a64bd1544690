"""An SQLite database on a disk without room: read, and changed in place, with nothing written beside it.

In WAL mode SQLite keeps two files beside a database while it is open, one of them shared memory. One connection at a
time needs neither to read: what would be shared is in its own memory. To write it takes the transaction's journal into
memory too, so that rows can be removed where not one byte is left, which is how room is made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

WITHOUT_SHARED_MEMORY = "PRAGMA locking_mode = EXCLUSIVE"  # before the first look into the database
_ENOUGH_BYTES = 256 << 10
_LOOK_EVERY_SECONDS = 0.01


def is_enough(folder: Path) -> bool:
    """Whether the disk of this folder takes the files that SQLite writes beside a database."""
    with contextlib.suppress(OSError):
        room = os.statvfs(folder)
        return room.f_bavail * room.f_frsize >= _ENOUGH_BYTES
    return True


@contextlib.contextmanager
def one_after_the_other(folder: Path, patience: float) -> Iterator[bool]:
    """Hold the lock of a folder, which takes no room: SQLite would refuse two such connections instead of letting one
    wait. False after `patience` seconds without it."""
    held = os.open(folder, os.O_RDONLY)
    try:
        yield _locked(held, time.monotonic() + patience)
    finally:
        os.close(held)


@contextlib.contextmanager
def in_place(connection: sqlite3.Connection) -> Iterator[None]:
    """The transaction inside changes the file itself, and keeps what it may have to take back in memory. Should the
    process be killed in that moment, or the machine stop, the file may be damaged; where that shows, it is made again
    from the folders."""
    connection.execute("PRAGMA journal_mode = MEMORY")
    try:
        yield
    finally:
        connection.execute("PRAGMA journal_mode = WAL")


def _locked(held: int, end: float) -> bool:
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_EVERY_SECONDS)
