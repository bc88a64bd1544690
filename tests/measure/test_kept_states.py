"""The dense model's states are kept for later runs: found again whole, of texts that anybody can read, and bounded."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import apt_core
from apt_core.base.paths import ASSETS, cache_dir
from apt_core.base.policy import PRIVATE
from apt_core.execute import Context, run
from apt_core.execute.measuring import _kept_states
from apt_core.measure.kept_states import KeptStates
from apt_core.models.load.loading import load
from tests.runs.helpers import small_disk

TINY = ASSETS / "models" / "tiny-llama"
BY_NAME, A_FILE = "wiki-sample", str(ASSETS / "texts" / "wiki-sample.txt")


@pytest.fixture(autouse=True)
def own_cache(fresh_cache):
    return fresh_cache


@pytest.fixture(scope="module")
def model():
    return load(TINY, torch.float32, "cpu")[0]


def events(folder, text, method="magnitude"):
    folder.mkdir()
    job = apt_core.plan(
        "tiny-random-llama",
        method,
        calibration={"text": BY_NAME, "samples": 1, "length": 32},
        evaluation={"text": text, "samples": 2, "length": 64},
    )
    return list(run(job, Context.of(job, folder, PRIVATE)))


def kept():
    return sorted((cache_dir() / "dense" / "states").glob("*"))


def apart(found):
    return [event for event in found if event.kind == "diverged"]


def test_a_later_run_takes_the_dense_model_through_no_block_again(tmp_path, monkeypatch):
    first = events(tmp_path / "first", BY_NAME)
    assert [file.suffix for file in kept()] == [".states"]
    monkeypatch.setattr("apt_core.execute.measuring.fill_states", lambda *_: 1 / 0)
    second = events(tmp_path / "second", BY_NAME)
    assert apart(second) == apart(first) and len(apart(first)) == 1
    assert not [
        event
        for event in second
        if event.kind == "progress" and event.stage == "evaluate" and event.subject == "dense"
    ]


def test_of_somebodys_file_nothing_is_left(tmp_path):
    assert len(apart(events(tmp_path / "first", A_FILE))) == 1
    assert kept() == []


def test_a_torn_file_is_computed_again(tmp_path):
    first = events(tmp_path / "first", BY_NAME)
    (file,) = kept()
    whole = file.read_bytes()
    file.write_bytes(whole[:40])
    assert apart(events(tmp_path / "second", BY_NAME)) == apart(first)
    assert file.read_bytes() == whole


def test_what_was_not_asked_for_longest_makes_room(tmp_path, model):
    size = torch.zeros(1, 8, 64).nbytes
    place = KeptStates(tmp_path / "states", TINY, most=int(3.5 * size), makes_room=True)
    windows = [torch.full((1, 8), number) for number in range(4)]
    for number, window in enumerate(windows[:3]):
        place.keep(model, window, torch.full((1, 8, 64), float(number)))
    in_order = sorted(place.folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    for age, file in zip((30, 20, 10), in_order, strict=True):
        os.utime(file, (1e9 - age, 1e9 - age))
    oldest = place.recall(model, windows[0])  # which makes it the newest
    place.keep(model, windows[3], torch.full((1, 8, 64), 3.0))
    assert float(oldest.mean()) == 0
    assert [place.recall(model, window) is not None for window in windows] == [True, False, True, True]


def test_what_is_larger_than_the_room_drives_nothing_out(tmp_path, model):
    place = KeptStates(tmp_path / "states", TINY, most=4000, makes_room=True)
    small, large = torch.zeros(1, 8, 64), torch.zeros(1, 80, 64)
    place.keep(model, torch.zeros(1, 8, dtype=torch.long), small)
    place.keep(model, torch.zeros(1, 80, dtype=torch.long), large)
    assert place.recall(model, torch.zeros(1, 8, dtype=torch.long)) is not None
    assert place.recall(model, torch.zeros(1, 80, dtype=torch.long)) is None


def test_left_overs_of_killed_runs_go_first(tmp_path, model):
    place = KeptStates(tmp_path / "states", TINY, most=4000, makes_room=True)
    window, states = torch.zeros(1, 8, dtype=torch.long), torch.zeros(1, 8, 64)
    place.folder.mkdir()
    (place.folder / "killed.99.part").write_bytes(bytes(3900))
    place.keep(model, window, states)
    assert place.recall(model, window) is not None
    assert [file.suffix for file in place.folder.iterdir()] == [".states"]


def test_a_full_disk_costs_no_run(tmp_path, model):
    window, states = torch.zeros(1, 80, dtype=torch.long), torch.zeros(1, 80, 64)
    with small_disk(tmp_path / "disk", "16k") as disk:
        place = KeptStates(disk / "states", TINY)
        place.keep(model, window, states)
        assert place.recall(model, window) is None
        assert list(place.folder.iterdir()) == []


@pytest.mark.parametrize("when", ["stat", "unlink"])
def test_what_another_run_deletes_meanwhile_is_no_trouble(tmp_path, model, monkeypatch, when):
    place = KeptStates(tmp_path / "states", TINY, most=4000, makes_room=True)
    window, states = torch.zeros(1, 8, dtype=torch.long), torch.zeros(1, 8, 64)
    place.keep(model, window, states)
    real = getattr(Path, when)

    def gone(path, *args, **named):
        if path.suffix == ".states":
            raise FileNotFoundError(path)
        return real(path, *args, **named)

    monkeypatch.setattr(Path, when, gone)
    place.keep(model, window + 1, states)
    monkeypatch.undo()
    assert place.recall(model, window + 1) is not None


@pytest.mark.parametrize("somebodys", ["a model that came with a token", "a model that a run made"])
def test_what_not_everybody_may_read_is_not_left_for_everybody(tmp_path, monkeypatch, somebodys):
    if somebodys == "a model that came with a token":
        monkeypatch.setattr("apt_core.models.fetch.hub_token.handed", lambda: "hf_secret")
        assert len(apart(events(tmp_path / "first", BY_NAME))) == 1
    else:
        made = apt_core.plan("run:20261127-010203-a1b2", "magnitude", evaluation={"text": BY_NAME})
        context, opened = Context.of(made, tmp_path, PRIVATE), SimpleNamespace(folder=TINY)
        assert _kept_states(made, context, opened) is None
        assert _kept_states(made, context._replace(shared=tmp_path), opened).folder == tmp_path
    assert kept() == []
