"""An index of an earlier version becomes one of this version whole or not at all, and a copy of it stays."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from apt_core.base.errors import StoreUnusable
from apt_core.runs import migrations
from apt_core.runs.starting import REPOSITORY
from apt_core.runs.store import Store
from tests.runs.helpers import small_disk
from tests.runs.test_earlier_versions import EXPECTED, FIXTURE

RUNS = list(EXPECTED["runs"])[::-1]


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(FIXTURE, tmp_path / "data"))


def version(folder):
    connection = sqlite3.connect(folder / "runs.db")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return found


def copies(folder):
    return sorted(path.name for path in folder.glob("runs.db.v*"))


def python(script, folder, *more):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(folder), *more],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


LIST = """
    import sys
    from pathlib import Path
    from apt_core.runs.store import Store
    print(*[record.id for record in Store(Path(sys.argv[1])).list()])
"""


def test_the_old_index_is_kept_and_opens_as_it_was(folder):
    before = (folder / "runs.db").read_bytes()
    assert [record.id for record in Store(folder).list()] == RUNS
    (kept,) = copies(folder)
    assert kept.startswith("runs.db.v1-") and version(folder) == migrations.VERSION
    connection = sqlite3.connect(folder / kept)
    rows = connection.execute("SELECT id, status, recipe FROM runs ORDER BY place").fetchall()
    connection.close()
    assert [row[0] for row in rows] == RUNS[::-1]
    (folder / "old.db").write_bytes(before)
    connection = sqlite3.connect(folder / "old.db")
    assert connection.execute("SELECT id, status, recipe FROM runs ORDER BY place").fetchall() == rows
    connection.close()


def test_a_migrated_index_says_the_same_as_one_made_anew(folder, tmp_path):
    anew = Path(shutil.copytree(folder, tmp_path / "anew"))
    (anew / "runs.db").unlink()
    without_places = [
        [record.model_copy(update={"finished": None}) for record in Store(place).list()]
        for place in (folder, anew)
    ]
    assert without_places[0] == without_places[1]


def test_many_processes_at_once_migrate_once(folder):
    started = [python(LIST, folder) for _ in range(4)]
    for process in started:
        out, err = process.communicate(timeout=60)
        assert out.split() == RUNS, err
    assert len(copies(folder)) == 1 and version(folder) == migrations.VERSION


@pytest.mark.parametrize("at", range(len(migrations.STEPS[1])))
def test_a_kill_in_the_middle_leaves_the_old_index_to_the_next(folder, at):
    """Killed with SIGKILL just before statement `at`, with all before it executed."""
    script = """
        import os, signal, sys
        from pathlib import Path
        from apt_core.runs import migrations
        from apt_core.runs.store import Store

        class Deadly(tuple):
            def __iter__(self):
                for place, statement in enumerate(tuple.__iter__(self)):
                    if place == int(sys.argv[2]):
                        os.kill(os.getpid(), signal.SIGKILL)
                    yield statement

        migrations.STEPS[1] = Deadly(migrations.STEPS[1])
        Store(Path(sys.argv[1])).list()
    """
    process = python(script, folder, str(at))
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert version(folder) == 1
    assert [record.id for record in Store(folder).list()] == RUNS
    assert version(folder) == migrations.VERSION


def test_what_a_killed_copy_left_is_swept(folder):
    (folder / "runs.db.v1-20260101-000000.partial").write_bytes(b"half")
    Store(folder).list()
    assert not list(folder.glob("*.partial"))


def test_a_full_disk_is_one_sentence_and_changes_nothing(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        shutil.copytree(FIXTURE, disk, dirs_exist_ok=True)
        before = (disk / "runs.db").read_bytes()
        with open(disk / "hoard", "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        with pytest.raises(Exception, match="free some space") as caught:
            Store(disk).list()
        assert caught.value.kind == "disk_full"
        assert (disk / "runs.db").read_bytes() == before and not copies(disk)
        assert not list(disk.glob("*.corrupt*"))
        os.unlink(disk / "hoard")
        assert [record.id for record in Store(disk).list()] == RUNS


def test_an_index_of_a_later_version_is_refused_and_left_as_it_is(folder):
    Store(folder).list()
    connection = sqlite3.connect(folder / "runs.db")
    connection.execute(f"PRAGMA user_version = {migrations.VERSION + 1}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    before = (folder / "runs.db").read_bytes()
    for use in (lambda store: store.list(), lambda store: store.request_cancel(RUNS[0])):
        with pytest.raises(StoreUnusable, match="later version of the app") as caught:
            use(Store(folder))
        assert "\n" not in str(caught.value)
    assert (folder / "runs.db").read_bytes() == before
    assert not list(folder.glob("*.corrupt*"))


def test_every_step_leads_to_the_next_version():
    assert sorted(migrations.STEPS) == list(range(1, migrations.VERSION))


def test_runs_that_an_earlier_version_did_not_know_come_back(folder, recipe):
    """A worker of it that is still at work takes the newer index for damage, and makes one of its own kind."""
    before, store = (folder / "runs.db").read_bytes(), Store(folder)
    study = store.create_study("race", [recipe, recipe])
    for path in folder.glob("runs.db*"):
        path.unlink()
    (folder / "runs.db").write_bytes(before)
    again = Store(folder)
    assert {record.id for record in again.list()} == {*RUNS, *study.runs}
    assert [record.id for record in again.runs_of(study.id)] == list(study.runs)


def test_a_migration_that_fails_leaves_no_copies(folder, monkeypatch):
    monkeypatch.setitem(migrations.STEPS, 1, (*migrations.STEPS[1], "ALTER TABLE nowhere ADD COLUMN x TEXT"))
    before = version(folder)
    for _ in range(3):
        with pytest.raises(StoreUnusable):
            Store(folder).list()
    assert copies(folder) == [] and version(folder) == before
