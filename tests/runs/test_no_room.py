"""A disk without a single byte left: the runs can still be looked at, and be deleted to make room."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from random import Random

import pytest

from apt_core import events as ev
from apt_core.base.errors import DiskFull, StoreUnusable
from apt_core.runs.store import Store
from tests.runs.helpers import small_disk


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        yield disk


@pytest.fixture
def store(disk):
    return Store(disk)


@pytest.fixture
def ended(store, recipe):
    """Three runs that were cancelled, and then the disk ran full."""
    runs = [store.create(recipe) for _ in range(3)]
    for run_id in runs:
        store.append(run_id, ev.Cancelled())
        with store.index.write() as rows:
            rows.update(run_id, status="cancelled", ended_at=1.0)
    fill(store.root)
    return runs


def fill(disk):
    with pytest.raises(OSError, match="No space"), open(disk / "hoard", "ab", buffering=0) as hoard:
        while hoard.write(bytes(512)):
            pass
    assert os.statvfs(disk).f_bavail == 0


def journal_of(store):
    with closing(sqlite3.connect(store.index.path)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


def test_runs_are_read(store, ended):
    assert {record.id for record in store.list()} == set(ended)
    assert [store.get(run_id).status for run_id in ended] == ["cancelled"] * 3
    assert store.live() == []


def test_runs_are_deleted(store, ended):
    for run_id in ended[:2]:
        store.delete(run_id)
        fill(store.root)
    assert [record.id for record in store.list()] == ended[2:]
    assert {path.name for path in store.runs.iterdir()} == {ended[2]}
    (store.root / "hoard").unlink()
    assert journal_of(store) == "wal", "as before, for many readers beside a writer"
    assert [record.id for record in Store(store.root).list()] == ended[2:]


def test_runs_are_hidden_and_brought_back(store, ended):
    store.hide(ended[:1])
    assert {record.id for record in store.list()} == set(ended[1:])
    assert [one.run for one in store.hidden()] == ended[:1]


def test_reading_within_a_change_of_ones_own_waits_for_nobody(store, ended):
    """As does who queues a run of what another one made."""
    store.index._patience = 0.5
    with store.index.write() as rows:
        rows.update(ended[0], ended_at=2.0)
        assert store.get(ended[0]).status == "cancelled"
        with store.index.read() as inside:
            assert inside.get(ended[0]).ended_at == 2.0
    with store.index.read() as rows:
        assert rows.get(ended[0]).ended_at == 2.0


def test_nothing_new_begins(store, ended, recipe):
    with pytest.raises(DiskFull, match="free some space"):
        store.create(recipe)
    assert {record.id for record in store.list()} == set(ended)
    (store.root / "hoard").unlink()
    assert store.get(store.create(recipe)).status == "queued"


def left(disk, n_bytes):
    """The full disk gets so many bytes back."""
    hoard = disk / "hoard"
    os.truncate(hoard, hoard.stat().st_size - n_bytes)


def killed_while(work, seconds):
    """A process of its own does `work` again and again until it is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            while True:
                work()
        finally:
            os._exit(1)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("room", [0, 128 << 10], ids=["without a byte", "with room for a journal"])
def test_whoever_is_killed_while_changing_it_loses_nothing(store, ended, room):
    left(store.root, room)
    random = Random(0)

    def change():
        with store.index.write() as rows:
            for run_id in ended:
                row = replace(rows.get(run_id), ended_at=time.time())
                rows.remove(run_id)
                rows.add(row)

    for _ in range(60):
        killed_while(change, random.uniform(0.001, 0.03))
        assert {record.id: record.status for record in Store(store.root).list()} == dict.fromkeys(
            ended, "cancelled"
        )
        with store.index.read() as rows:
            assert rows._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert not list(store.root.glob("runs.db.corrupt-*"))
    store.delete(ended[0])
    assert {record.id for record in store.list()} == set(ended[1:])


def test_an_index_that_was_left_in_the_middle_of_a_change_is_made_again_in_its_own_room(store, ended):
    def half_a_change():
        with store.index.write() as rows:
            rows.update(ended[0], status="running")
            rows._connection.execute("COMMIT")  # some pages of it are written, others are not
            os.kill(os.getpid(), signal.SIGKILL)

    killed_while(half_a_change, 0.5)
    assert {record.id: record.status for record in store.list()} == dict.fromkeys(ended, "cancelled")
    with store.index.read() as rows:
        assert rows.get(ended[0]).status == "cancelled", "as its folder says"
    assert os.statvfs(store.root).f_bavail * os.statvfs(store.root).f_frsize < 64 << 10
    store.delete(ended[0])
    (store.root / "hoard").unlink()
    assert {record.id for record in store.list()} == set(ended[1:]) and journal_of(store) == "wal"


def test_a_change_is_taken_back_from_its_journal_where_there_is_room_for_one(store, ended):
    left(store.root, 128 << 10)

    def half_a_change():
        with store.index.write() as rows:
            rows.update(ended[0], status="running")
            rows._connection.execute("PRAGMA cache_spill = 1")
            rows._connection.execute("PRAGMA cache_size = 1")
            for one in ended:
                rows.update(one, job="x" * 3000)
            os.kill(os.getpid(), signal.SIGKILL)

    before = store.index.path.stat().st_ino
    killed_while(half_a_change, 0.5)
    assert [store.get(run_id).status for run_id in ended] == ["cancelled"] * 3
    assert store.index.path.stat().st_ino == before, "it is the same file, not made again"


def test_a_damaged_index_is_made_again_where_not_a_byte_is_left(store, ended):
    with store.index.path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(3 * 4096))
    for _ in range(2):  # what is found in the middle of reading is said once
        with contextlib.suppress(StoreUnusable):
            store.list()
    assert {record.id for record in store.list()} == set(ended)
    assert not list(store.root.glob("runs.db.corrupt-*")), "there is room for one alone"


def test_several_ask_at_once(store, ended):
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(lambda: len(store.list())) for _ in range(40)]
        gone = pool.submit(store.delete, ended[0])
        assert {one.result() for one in asked} <= {2, 3}
        gone.result()
    assert len(store.list()) == 2
