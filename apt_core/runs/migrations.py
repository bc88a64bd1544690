"""How `runs.db` of an earlier version becomes one of this version: forward only, with a copy of the old file kept.

The statements of all steps are one transaction, so whoever is killed in between leaves the old index, and the next
who comes migrates it. Only data that the run folders hold too is moved; a job's JSON stays as it was written and is
read by `jobs.schema`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from pathlib import Path

from apt_core.base.errors import DISK_FULL_ERRNOS, DiskFull, StoreUnusable
from apt_core.base.policy import LOCAL

VERSION = 4
STUDIES_TABLE = """
CREATE TABLE studies (
    id TEXT PRIMARY KEY,
    created_at REAL NOT NULL,
    kind TEXT NOT NULL
)
"""
INDEXES = (
    "CREATE INDEX runs_by_study ON runs (study)",
    "CREATE INDEX runs_by_parent ON runs (made_from)",
)
OWNERS_INDEX = "CREATE INDEX runs_by_owner ON runs (owner)"
# Version -> what makes it the next one.
STEPS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE runs RENAME COLUMN recipe TO job",
        "ALTER TABLE runs ADD COLUMN study TEXT",
        "ALTER TABLE runs ADD COLUMN made_from TEXT",
        STUDIES_TABLE,
        *INDEXES,
    ),
    2: ("ALTER TABLE runs ADD COLUMN listed TEXT",),
    3: (
        f"ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT '{LOCAL}'",
        "ALTER TABLE runs ADD COLUMN turn INTEGER NOT NULL DEFAULT 0",
        OWNERS_INDEX,
    ),
}


class MadeLater(sqlite3.DatabaseError):
    """A database of a later version of the app: refused, and left as it is."""


def version_of(connection: sqlite3.Connection) -> int:
    """0 for a file that holds no tables yet."""
    return connection.execute("PRAGMA user_version").fetchone()[0]


def check(connection: sqlite3.Connection) -> None:
    """Raise MadeLater for a database that this version does not know."""
    if (found := version_of(connection)) > VERSION:
        raise MadeLater(f"made by a later version of the app (its form is {found}, this one knows {VERSION})")


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the database to this version; the caller has made sure that nobody else does.

    Raises DiskFull, with the old database as it was, when the copy does not fit.
    """
    check(connection)
    before = version_of(connection)
    if before == VERSION:
        return  # another process was faster
    connection.execute("BEGIN IMMEDIATE")  # first, so that the copy is of what is migrated
    kept: Path | None = None
    try:
        kept = _keep_copy(path, before)
        for version in range(before, VERSION):
            for statement in STEPS[version]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if kept is not None:
            kept.unlink(missing_ok=True)  # of nothing: whoever tries again makes a new one
        raise


def _keep_copy(path: Path, version: int) -> Path:
    """`runs.db.v1-<time>` beside the database, whole or not at all."""
    for left in path.parent.glob(f"{path.name}.v*.partial"):  # of a migration that was killed
        left.unlink(missing_ok=True)
    kept = path.with_name(f"{path.name}.v{version}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    partial = kept.with_name(f"{kept.name}.partial")
    try:
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(partial)) as copy,
        ):
            source.backup(copy)
        os.replace(partial, kept)
        return kept
    except (OSError, sqlite3.Error) as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise _plain(error, path) from error


def _plain(error: OSError | sqlite3.Error, path: Path) -> DiskFull | StoreUnusable:
    code = getattr(error, "errno", None) or errno.EIO
    sqlite_code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in DISK_FULL_ERRNOS or sqlite_code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return DiskFull(
            f"The run index is of an earlier version, and the disk of {path.parent} has no room for a copy of it; "
            "free some space and try again. Nothing was changed."
        )
    return StoreUnusable(f"A copy of the run index {path} could not be kept ({error}); nothing was changed.")
