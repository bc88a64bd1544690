"""What SQLite says of the run index: whether the file is damaged, and what people are told."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from apt_core.base.errors import DiskFull, PruneError, StoreUnusable
from apt_core.runs import migrations, no_room


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file has to be made again."""
    if isinstance(error, no_room.InDoubt):
        return True
    if _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return True
    return str(error).startswith(("no such table", "no such column"))


def held(patience: float) -> StoreUnusable:
    return StoreUnusable(
        f"Another program has held the run index for more than {patience:g} seconds; close it or try again."
    )


def plain(error: sqlite3.DatabaseError, path: Path, patience: float) -> PruneError:
    """SQLite's complaint as one of our sentences. path: of the index; patience: seconds that were waited for it."""
    if isinstance(error, migrations.MadeLater):
        return StoreUnusable(
            f"The run index {path} was {error}; update the app, or set APT_DATA to another folder."
        )
    match _code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return held(patience)
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return DiskFull(
                "The run index cannot be written, most likely because the disk is full; free some space."
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY:
            return StoreUnusable(
                f"The run index {path} cannot be opened; set APT_DATA to a folder you may write to."
            )
        case _:
            return StoreUnusable(f"The run index could not be read ({error}); try again.")


def _code(error: sqlite3.DatabaseError) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
