"""What a node of a cluster keeps: made once by tasks that start at once, bounded, never taken from under a task."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apt_core.runs.executors import node_kept, on_node
from tests.runs.helpers import until


def filled(folder: Path, n_bytes: int = 1000) -> None:
    (folder / "weights").write_bytes(bytes(n_bytes))


def use(folder: Path, at: float) -> None:
    """A task used it at that time."""
    with node_kept.held(folder, filled):
        pass
    lock = folder.with_name(f".{folder.name}.lock")
    os.utime(lock, (at, at))


def test_two_tasks_that_start_at_once_fetch_a_model_once(tmp_path):
    """Each wrote a folder of its own, and the second could not be moved to where the first one was."""
    fetched, together = [], threading.Barrier(4)

    def fetch(folder: Path) -> None:
        fetched.append(folder)
        time.sleep(0.05)
        filled(folder)

    def task(_: int) -> bytes:
        together.wait()
        with node_kept.held(tmp_path / "of-runs" / "run", fetch) as folder:
            return (folder / "weights").read_bytes()

    with ThreadPoolExecutor(4) as tasks:
        assert set(tasks.map(task, range(4))) == {bytes(1000)}
    assert len(fetched) == 1


def test_what_a_killed_task_left_half_made_is_made_anew(tmp_path):
    room, ready = tmp_path / "of-runs", tmp_path / "ready"
    code = (
        "import sys, time; from pathlib import Path; from apt_core.runs.executors import node_kept\n"
        "def make(folder):\n"
        "    (folder / 'half').touch(); Path(sys.argv[2]).touch(); time.sleep(60)\n"
        "with node_kept.held(Path(sys.argv[1]), make): pass\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", code, str(room / "run"), str(ready)])
    try:
        until(ready.exists, 60)
    finally:
        killed.kill()
        killed.wait()
    with node_kept.held(room / "run", filled) as folder:
        assert [file.name for file in folder.iterdir()] == ["weights"]


def test_a_folder_that_could_not_be_made_is_not_there(tmp_path):
    def fails(folder: Path) -> None:
        filled(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), node_kept.held(tmp_path / "run", fails):
        pass
    assert not (tmp_path / "run").exists()


def test_what_was_used_longest_ago_goes_first(tmp_path):
    models, studies = tmp_path / "of-runs", tmp_path / "studies"
    for folder, at in ((models / "a", 30), (studies / "b", 10), (models / "c", 20)):
        use(folder, at)
    assert node_kept.keep_within((models, studies), 2500) == [studies / "b"]
    assert node_kept.keep_within((models, studies), 1500) == [models / "c"]
    assert node_kept.keep_within((models, studies), 1500) == []
    assert sorted(path.name for path in models.iterdir()) == [".a.lock", "a"]
    assert list(studies.iterdir()) == []


def test_what_a_task_uses_stays(tmp_path):
    used, other = tmp_path / "used", tmp_path / "other"
    use(used, 1)
    use(other, 2)
    with node_kept.held(used, filled):
        assert node_kept.keep_within((tmp_path,), 0) == [other]
        assert (used / "weights").exists()
    assert node_kept.keep_within((tmp_path,), 0) == [used]


def test_what_was_left_half_made_counts_and_goes(tmp_path):
    (tmp_path / ".run.part").mkdir()
    filled(tmp_path / ".run.part")
    assert node_kept.keep_within((tmp_path,), 999) == [tmp_path / "run"]
    assert list(tmp_path.iterdir()) == []


def test_a_node_keeps_as_much_as_it_is_told(fresh_cache, monkeypatch):
    for name, at in (("old", 1), ("new", 2)):
        use(fresh_cache / "studies" / name, at)
    monkeypatch.setenv("APT_NODE_GB", "0.0000015")
    on_node._make_room()
    assert [path.name for path in (fresh_cache / "studies").glob("[!.]*")] == ["new"]
