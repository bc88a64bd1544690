"""`runs.db`: which runs there are and whose turn it is. SQLite in WAL mode, shared by every process.

It holds nothing that the folders of runs and studies do not say (but for the queue's order and a pending cancel;
`listed` is what a list says of an ended run, kept so that it reads no log),
so a missing or corrupt file is moved aside and made again from the folders. One of an earlier version is migrated, one
of a later version refused. Every use opens its own connection: no connection outlives a file that was moved away.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from apt_core.base.errors import StoreUnusable
from apt_core.base.policy import LOCAL
from apt_core.runs import migrations, no_room
from apt_core.runs.index_errors import held, is_damage, plain

_TABLE = """
CREATE TABLE runs (
    place INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which runs were asked for
    id TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL,
    status TEXT NOT NULL,
    job TEXT NOT NULL,
    pid INTEGER,
    pid_created REAL,
    cancel_requested_at REAL,
    ended_at REAL,
    study TEXT,
    made_from TEXT,  -- the run that made the model of this one
    listed TEXT,
    owner TEXT NOT NULL,
    turn INTEGER NOT NULL  -- of its owner in the queue: all first turns come before all second ones
)
"""
_COLUMNS = (
    "id, created_at, status, job, pid, pid_created, cancel_requested_at, ended_at, study, made_from, listed, "
    "owner, turn"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One run in the index; times in Unix seconds, `job` as the JSON text of the version that wrote it."""

    id: str
    created_at: float
    status: str
    job: str
    pid: int | None = None
    pid_created: float | None = None
    cancel_requested_at: float | None = None
    ended_at: float | None = None
    study: str | None = None
    made_from: str | None = None
    listed: str | None = None
    owner: str = LOCAL
    turn: int = 0


class StudyRow(NamedTuple):
    """One study in the index; its folder holds the rest."""

    id: str
    created_at: float
    kind: str


class Found(NamedTuple):
    """What the folders of a store tell, oldest first."""

    runs: list[Row]
    studies: list[StudyRow]


class Index:
    """The index file, opened anew for every use.

    `recover()` gives what the folders speak of; it fills an index that is new or was lost.
    `patience` is how many seconds to wait for another program that holds the file.
    """

    def __init__(self, path: Path, recover: Callable[[], Found], patience: float = 10.0):
        self.path = path
        self._recover = recover
        self._patience = patience
        self._of_thread = threading.local()  # .connection: the only one there may be, while there is no room

    @contextlib.contextmanager
    def read(self) -> Iterator[Rows]:
        with self._errors_translated(), self._connection() as connection:
            yield Rows(connection)

    @contextlib.contextmanager
    def write(self) -> Iterator[Rows]:
        """One transaction that no other writer can interleave with; rolled back when the block raises."""
        with (
            self._errors_translated(),
            self._connection(to_write=True) as connection,
            _transaction(connection),
        ):
            yield Rows(connection)

    @contextlib.contextmanager
    def _connection(self, to_write: bool = False) -> Iterator[sqlite3.Connection]:
        """Without room for the files that SQLite keeps beside the index one asks after the other, and what is written
        is written in place."""
        if no_room.is_enough(self.path.parent):
            with contextlib.closing(self._open()) as connection:
                yield connection
            return
        outer: sqlite3.Connection | None = getattr(self._of_thread, "connection", None)
        if outer is not None and not to_write:  # to read within a transaction of one's own
            yield outer
            return
        with no_room.one_after_the_other(self.path.parent, self._patience) as is_ours:
            if not is_ours:
                raise held(self._patience)
            alone = not self._is_to_be_migrated()  # else it needs room, and says so
            with (
                contextlib.closing(self._open(alone)) as connection,
                no_room.in_place(connection, self.path) if alone and to_write else contextlib.nullcontext(),
            ):
                self._of_thread.connection = connection
                try:
                    yield connection
                finally:
                    self._of_thread.connection = None

    def _open(self, alone: bool = False) -> sqlite3.Connection:
        """A connection to a sound index: the one that is there, or one made from the run folders."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnusable(
                f"The folder {self.path.parent} cannot be made ({error.strerror}); set APT_DATA to another."
            ) from error
        try:
            return self._connect(alone)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        self._move_aside()
        return self._connect(alone)

    def _connect(self, alone: bool = False) -> sqlite3.Connection:
        """alone: no other connection may be there, and no file beside the index is needed."""
        connection = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        try:
            if alone:
                connection.execute(no_room.WITHOUT_SHARED_MEMORY)
            connection.execute("PRAGMA synchronous = NORMAL")
            migrations.check(connection)
            no_room.check(connection)
            version = migrations.version_of(connection)
            if version == 0:
                self._fill(connection, alone)
            elif version < migrations.VERSION:
                with self._alone():
                    migrations.migrate(connection, self.path)
                    self._take_in_folders(connection)
            connection.execute("SELECT count(*), max(place), max(id) FROM runs").fetchone()
            if not alone:
                _share(connection)
            return connection
        except BaseException:
            connection.close()
            raise

    def _is_to_be_migrated(self) -> bool:
        """Whether the file is of an earlier version: that takes room, and other connections to it."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=self._patience)) as connection:
            connection.execute(no_room.WITHOUT_SHARED_MEMORY)
            try:
                return 0 < migrations.version_of(connection) < migrations.VERSION
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                return False  # it is made again

    def _take_in_folders(self, connection: sqlite3.Connection) -> None:
        """Runs and studies that the migrated index does not know: a process of the earlier version that was still
        running took the newer index for damage and made it again, without the runs that only this one reads."""
        with _transaction(connection):
            rows, found = Rows(connection), self._recover()
            known = {row.id for row in rows.newest(-1)}
            for row in found.runs:
                if row.id not in known:
                    rows.add(row)
            for study in found.studies:
                rows.add_study(study)

    def _fill(self, connection: sqlite3.Connection, alone: bool) -> None:
        """Make the table and take in the runs whose folders are already there."""
        with self._alone():
            if migrations.version_of(connection):
                return  # another process was faster
            if not alone:
                connection.execute("PRAGMA journal_mode = WAL")
            in_place = no_room.without_a_journal(connection) if alone else contextlib.nullcontext()
            with in_place, _transaction(connection):
                connection.execute(_TABLE)
                connection.execute("CREATE INDEX runs_by_status ON runs (status)")
                for statement in (
                    migrations.STUDIES_TABLE,
                    *migrations.INDEXES,
                    migrations.OWNERS_INDEX,
                ):
                    connection.execute(statement)
                rows, found = Rows(connection), self._recover()
                for row in found.runs:
                    rows.add(
                        replace(row, listed=None) if alone else row
                    )  # what lists can find out takes room
                for study in found.studies:
                    rows.add_study(study)
                connection.execute(f"PRAGMA user_version = {migrations.VERSION}")

    def _move_aside(self) -> None:
        """Rename a damaged index, or remove it where there is room for one alone; whoever comes second finds a sound
        one and leaves it alone."""
        with self._alone():
            damage = self._damage()
            if not damage:
                return
            _log.warning("The run index %s is damaged (%s); making it again.", self.path, damage)
            if no_room.is_enough(self.path.parent):
                os.replace(self.path, self.path.with_name(f"{self.path.name}.corrupt-{time.time_ns()}"))
            self.path.unlink(missing_ok=True)
            for suffix in ("-wal", "-shm", "-journal"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _damage(self) -> str:
        """What a thorough look finds wrong with the file; empty when it is sound or not made yet."""
        if not self.path.exists():
            return ""
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=self._patience)) as connection:
                if not no_room.is_enough(self.path.parent):
                    connection.execute(no_room.WITHOUT_SHARED_MEMORY)
                no_room.check(connection)
                found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if found != "ok":
                    return found
                if migrations.version_of(connection) == migrations.VERSION:
                    connection.execute(f"SELECT {_COLUMNS} FROM runs LIMIT 1").fetchone()
                return ""
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return str(error)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time makes or replaces the file."""
        with open(self.path.with_name(f"{self.path.name}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                self._move_aside()
            raise plain(error, self.path, self._patience) from error


def _share(connection: sqlite3.Connection) -> None:
    """Many readers beside a writer, also after whoever had the index alone was killed."""
    with contextlib.suppress(sqlite3.OperationalError):  # another is at it just now
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class Rows:
    """The rows as seen by one connection."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection

    def add(self, row: Row) -> None:
        """Add a run; one that was taken in from its folder meanwhile stays as it is."""
        values = tuple(getattr(row, name) for name in _COLUMNS.split(", "))
        self._connection.execute(
            f"INSERT OR IGNORE INTO runs ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values
        )

    def get(self, run_id: str) -> Row | None:
        found = self._select("WHERE id = ?", run_id)
        return found[0] if found else None

    def newest(self, limit: int, owners: Sequence[str] | None = None) -> list[Row]:
        """By when they were asked for: a run that was brought back stands where it stood. owners: whose; None for
        everybody's."""
        if owners is None:
            return self._select("ORDER BY created_at DESC, place DESC LIMIT ?", limit)
        marks = ", ".join("?" * len(owners))
        return self._select(
            f"WHERE owner IN ({marks}) ORDER BY created_at DESC, place DESC LIMIT ?", *owners, limit
        )

    def active(self) -> list[Row]:
        """Runs that hold (or are about to hold) a worker process."""
        return self._select("WHERE status IN ('running', 'stopping') ORDER BY place")

    def queue(self) -> list[Row]:
        """In the order in which they will begin, owner after owner."""
        return self._select("WHERE status = 'queued' ORDER BY turn, place")

    def next_turn(self, owner: str) -> int:
        """The turn of a further run of this owner: after their own last one, and never before the round that is being
        served (start-time fair queueing, with a run as the unit of work)."""
        found = self._connection.execute(
            """SELECT max(turn) FILTER (WHERE status = 'queued' AND owner = ?),
                      max(turn) FILTER (WHERE pid IS NOT NULL),
                      min(turn) FILTER (WHERE status = 'queued') - 1
               FROM runs""",
            (owner,),
        ).fetchone()
        return 1 + max((turn for turn in found if turn is not None), default=0)

    def of_study(self, study_id: str) -> list[Row]:
        return self._select("WHERE study = ? ORDER BY place", study_id)

    def made_from(self, run_id: str) -> list[Row]:
        """The runs whose model this run made."""
        return self._select("WHERE made_from = ? ORDER BY place", run_id)

    def add_study(self, study: StudyRow) -> None:
        self._connection.execute(
            "INSERT OR IGNORE INTO studies (id, created_at, kind) VALUES (?, ?, ?)", study
        )

    def studies(self, limit: int) -> list[StudyRow]:
        """The newest first."""
        found = self._connection.execute(
            "SELECT id, created_at, kind FROM studies ORDER BY created_at DESC, id DESC LIMIT ?", (limit,)
        )
        return [StudyRow(*values) for values in found.fetchall()]

    def remove_study(self, study_id: str) -> None:
        self._connection.execute("DELETE FROM studies WHERE id = ?", (study_id,))

    def update(self, run_id: str, **fields: object) -> None:
        names = ", ".join(f"{name} = ?" for name in fields)
        self._connection.execute(f"UPDATE runs SET {names} WHERE id = ?", (*fields.values(), run_id))

    def remove(self, run_id: str) -> None:
        self._connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    def _select(self, rest: str, *values: object) -> list[Row]:
        found = self._connection.execute(f"SELECT {_COLUMNS} FROM runs {rest}", values)
        return [Row(*values) for values in found.fetchall()]
