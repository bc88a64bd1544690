"""The index on a disk of this machine, the runs on a volume: nothing is lost when the machine is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.ui.launch import use_mounted_volume
from tests.runs.helpers import fake_command


@pytest.fixture
def volume(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "volume"))
    monkeypatch.setenv("APT_INDEX", str(tmp_path / "disk"))
    return tmp_path / "volume"


def test_a_run_is_done_and_found_again_on_another_machine(volume, tmp_path, recipe):
    store = Store()
    launcher = Launcher(store, fake_command("steady"), interval=0.05)
    done = launcher.wait(launcher.submit(recipe))
    waiting = [store.create(recipe) for _ in range(3)]
    assert done.status == "finished" and not list(volume.glob("runs.db*"))
    shutil.rmtree(tmp_path / "disk")
    again = Store()
    assert again.get(done.id) == store.get(done.id)
    assert [again.position(run_id) for run_id in waiting] == [1, 2, 3]
    assert (tmp_path / "disk" / "runs.db").exists()


def test_the_store_of_another_folder_keeps_its_own_index(volume, tmp_path):
    Store(tmp_path / "other").list()
    assert (tmp_path / "other" / "runs.db").exists()


@pytest.mark.parametrize(
    ("told", "mounted", "used"),
    [
        ({"SYSTEM": "spaces"}, True, True),
        ({"SYSTEM": "spaces"}, False, False),
        ({}, True, False),
        ({"SYSTEM": "spaces", "APT_DATA": "/elsewhere"}, True, False),
    ],
)
def test_a_space_uses_the_volume_that_is_mounted(tmp_path, monkeypatch, told, mounted, used):
    for name in ("SYSTEM", "APT_DATA", "APT_INDEX", "APT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    monkeypatch.setattr(Path, "is_mount", lambda _: mounted)
    try:
        use_mounted_volume(tmp_path)
        set_now = {name: os.environ[name] for name in os.environ if os.environ[name] != before.get(name)}
        assert set(set_now) == ({"APT_DATA", "APT_INDEX", "APT_CACHE"} if used else set())
        if used:
            assert set_now["APT_DATA"].startswith(str(tmp_path)) and not set_now["APT_INDEX"].startswith(
                str(tmp_path)
            )
    finally:
        for name in ("APT_DATA", "APT_INDEX", "APT_CACHE"):
            if name not in before:
                os.environ.pop(name, None)
