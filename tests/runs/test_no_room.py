"""A disk without a single byte left: the runs can still be looked at, and be deleted to make room."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from apt_core import events as ev
from apt_core.base.errors import DiskFull
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


def test_several_ask_at_once(store, ended):
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(lambda: len(store.list())) for _ in range(40)]
        gone = pool.submit(store.delete, ended[0])
        assert {one.result() for one in asked} <= {2, 3}
        gone.result()
    assert len(store.list()) == 2
