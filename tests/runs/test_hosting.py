"""Draining and banning hold in every process; a restart ends the draining, and no ban."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apt_core.base.errors import NotYours, OverQuota
from apt_core.base.paths import data_dir
from apt_core.base.policy import STRICT
from apt_core.runs.hosting import Decisions, Hosting
from apt_core.runs.launcher import Launcher
from apt_core.runs.owners import HERE, Visitor
from apt_core.ui.studio import open_studio

ANN = Visitor(names=("hf:ann", "v:ann"))


def test_a_drained_host_accepts_nothing_until_it_does_again(tmp_path):
    here, elsewhere = Hosting(tmp_path), Hosting(tmp_path)
    elsewhere.check_accepts(ANN)
    here.drain(True)
    for visitor in (ANN, HERE):
        with pytest.raises(OverQuota, match="no new runs for now"):
            elsewhere.check_accepts(visitor)
    elsewhere.check_serves(ANN)
    here.drain(False)
    elsewhere.check_accepts(ANN)


def test_who_is_banned_is_banned_under_every_name(tmp_path):
    hosting = Hosting(tmp_path)
    hosting.ban("v:ann")
    with pytest.raises(NotYours, match="has blocked you"):
        Hosting(tmp_path).check_serves(ANN)
    hosting.check_serves(Visitor(names=("v:bob",)))
    hosting.ban("v:ann", False)
    hosting.check_accepts(ANN)


def test_a_banned_address_is_closed_to_whoever_comes_from_there(tmp_path):
    hosting = Hosting(tmp_path)
    hosting.ban_address("10.0.0.7")
    fresh = Visitor(names=("v:new",), address="10.0.0.7")
    with pytest.raises(NotYours, match="has blocked you"):
        Hosting(tmp_path).check_serves(fresh)
    hosting.check_serves(fresh.model_copy(update={"address": "10.0.0.8"}))
    hosting.check_serves(fresh.model_copy(update={"everything": True}))
    hosting.ban_address("10.0.0.7", False)
    hosting.check_serves(fresh)


@pytest.mark.parametrize("text", ["", "{", '{"banned": 3}', "\xff"])
def test_a_torn_file_decides_what_was_known(tmp_path, text):
    hosting = Hosting(tmp_path)
    hosting.ban("v:ann")
    before = hosting.now()
    (tmp_path / "hosting.json").write_text(text, "latin-1")
    assert hosting.now() == before and Hosting(tmp_path).now() == Decisions()


def test_a_file_that_cannot_be_looked_at_lifts_no_ban(tmp_path, monkeypatch):
    hosting = Hosting(tmp_path)
    hosting.ban("v:ann")
    before = hosting.now()

    def fails(*_args, **_named):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "stat", fails)
    assert hosting.now() == before and before.banned == {"v:ann"}


def test_decisions_at_the_same_time_are_all_kept(tmp_path):
    hosting = Hosting(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(hosting.ban, (f"v:{number}" for number in range(40))))
    assert len(Hosting(tmp_path).now().banned) == 40


def test_while_it_drains_no_run_begins(store, recipe, monkeypatch):
    hosting, begun = Hosting(store.root), []
    launcher = Launcher(store, paused=hosting.draining)
    monkeypatch.setattr(launcher, "_start", lambda rows, row, seat: begun.append(row.id))
    run = store.create(recipe)
    hosting.drain(True)
    launcher.tick()
    assert begun == [] and store.position(run) == 1
    hosting.drain(False)
    launcher.tick()
    assert begun == [run]


def test_the_next_start_accepts_runs_again_and_serves_nobody_who_was_banned(tmp_path, fresh_cache):
    """Draining was kept for ever: the host said for days that it was about to be restarted."""
    hosting = Hosting(data_dir())
    hosting.drain(True)
    hosting.ban("v:ann")
    studio = open_studio(STRICT)
    try:
        assert not studio.launcher.held_back() and Hosting(data_dir()).now() == Decisions(banned={"v:ann"})
    finally:
        studio.close()


def test_a_start_on_a_full_disk_stays_closed_and_says_so(tmp_path, monkeypatch, caplog):
    hosting = Hosting(tmp_path)
    hosting.drain(True)

    def full(*_args, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    hosting.opened()
    assert hosting.draining() and "still accepts no runs" in caplog.text
