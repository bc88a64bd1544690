"""An SQLite database on a disk without room: read, and changed in place, with nothing written beside it.

In WAL mode SQLite keeps two files beside a database while it is open, one of them shared memory. One connection at a
time needs neither to read: what would be shared is in its own memory. To write it keeps the pages that it changes in a
journal beside the database, as long as there is room for that one file; without, in memory, so that rows can be removed
where not one byte is left, which is how room is made again. Then the database says so while it is changed, and one that
is found like that is not to be trusted.
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
_JOURNAL_HEADER = 8 << 10
_IN_DOUBT = 0x41505421  # the application id of a database that is being changed without a journal
_LOOK_EVERY_SECONDS = 0.01


def is_enough(folder: Path) -> bool:
    """Whether the disk of this folder takes the files that SQLite writes beside a database."""
    with contextlib.suppress(OSError):
        return _free_bytes(folder) >= _ENOUGH_BYTES
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


class InDoubt(sqlite3.DatabaseError):
    """Whoever changed the database without a journal did not come to the end."""


def check(connection: sqlite3.Connection) -> None:
    """Raise InDoubt for a database that was left in the middle of a change."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == _IN_DOUBT:
        raise InDoubt("it was left in the middle of a change")


def in_place(connection: sqlite3.Connection, path: Path) -> contextlib.AbstractContextManager[None]:
    """The transaction inside changes the file itself. path: of the database. Whoever comes after a process that was
    killed in it takes the change back from the journal, or finds the database in doubt."""
    return _with_a_journal(connection) if _has_room_for_a_journal(path) else without_a_journal(connection)


@contextlib.contextmanager
def _with_a_journal(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    try:
        yield
    finally:
        connection.execute("PRAGMA journal_mode = WAL")


@contextlib.contextmanager
def without_a_journal(connection: sqlite3.Connection) -> Iterator[None]:
    """The same where there is room for the database alone."""
    connection.execute("PRAGMA journal_mode = MEMORY")
    connection.execute(f"PRAGMA application_id = {_IN_DOUBT}")
    try:
        yield
    finally:
        connection.execute("PRAGMA application_id = 0")
        connection.execute("PRAGMA journal_mode = WAL")


def _has_room_for_a_journal(path: Path) -> bool:
    """It holds every page at most once, as it was before; what waits in the WAL comes into the file first."""
    try:
        taken = sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())
        return _free_bytes(path.parent) >= taken + _JOURNAL_HEADER
    except OSError:
        return False


def _free_bytes(folder: Path) -> int:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def _locked(held: int, end: float) -> bool:
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_EVERY_SECONDS)
