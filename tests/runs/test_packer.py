"""The store kept packed: older runs while nothing works, and every reader finds the same model."""

from __future__ import annotations

import io
import json
import time
import zipfile

import pytest
import torch
from safetensors.torch import load_file
from starlette.applications import Starlette
from starlette.testclient import TestClient

import apt_core
from apt_core import events as ev
from apt_core.cli import main
from apt_core.models.checkpoint import headers
from apt_core.runs import packer
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.ui import server
from apt_core.ui.studio import Studio

JOB = apt_core.plan(
    "tiny-random-llama",
    "magnitude",
    0.5,
    calibration={"text": "wiki-sample", "samples": 2, "length": 32},
    evaluation={"text": "wiki-sample", "samples": 2, "length": 32},
)


@pytest.fixture
def store(fresh_cache):
    return Store()


@pytest.fixture
def finished(store):
    """A run of the store that was done in this process."""
    run_id = store.create(JOB)
    store.append(run_id, ev.Started(pid=1))
    for event in apt_core.run(JOB, store.folder(run_id)):
        if event.kind == "finished":
            event = event.model_copy(update={"checkpoint": "checkpoint"})
        store.append(run_id, event)
    with store.index.write() as rows:  # as the launcher does once the worker is gone
        rows.update(run_id, status="finished", ended_at=time.time())
    return run_id


def test_what_has_just_finished_rests(store, finished):
    assert packer.packable(store) == [] and packer.packable(store, 0.0) == [finished]


def test_a_run_is_packed_and_its_weights_are_the_same(store, finished, tmp_path):
    folder = store.checkpoint(finished)
    before = load_file(folder / "model.safetensors")
    (done,) = packer.pack_runs(store, 0.0)
    assert done.run == finished and headers.is_packed(folder) and done.after < done.before
    assert packer.packable(store, 0.0) == [] and list(packer.pack_runs(store, 0.0)) == []
    model, _ = apt_core.load_model(str(store.checkpoint(finished)), dtype="float32")
    after = model.state_dict()
    assert set(before) <= set(after)
    assert all(torch.equal(after[name].cpu(), tensor.float()) for name, tensor in before.items())


def test_the_download_of_a_packed_run_is_the_plain_model(store, finished):
    plain = (store.checkpoint(finished) / "model.safetensors").read_bytes()
    list(packer.pack_runs(store, 0.0))
    studio = Studio(store, Launcher(store), None)
    with TestClient(Starlette(routes=server.routes(studio))) as client:
        archive = zipfile.ZipFile(io.BytesIO(client.get(f"/studio/runs/{finished}/model.zip").content))
    names = {name.rsplit("/", 1)[1]: name for name in archive.namelist()}
    assert archive.read(names["model.safetensors"]) == plain and archive.testzip() is None
    assert not any("packed" in name for name in names) and {"config.json", "README.md"} <= set(names)


def test_while_a_run_waits_nothing_is_packed(store, finished):
    store.create(JOB)
    assert list(packer.pack_runs(store, 0.0)) == []


def test_broken_weights_stay_and_the_others_go_on(store, finished, caplog):
    (store.checkpoint(finished) / "config.json").write_text("no json")
    assert list(packer.pack_runs(store, 0.0)) == []
    assert "stay plain" in caplog.text and (store.checkpoint(finished) / "model.safetensors").exists()


def test_the_app_packs_while_it_is_idle(store, finished, monkeypatch):
    monkeypatch.setattr(packer, "REST_SECONDS", 0.0)
    monkeypatch.setattr(packer.packable, "__defaults__", (0.0,))
    monkeypatch.setattr("apt_core.runs.idle.PACK_EVERY_SECONDS", 0.0)
    code = "from apt_core.runs import packer, store; list(packer.pack_runs(store.Store(), 0.0))"
    monkeypatch.setattr(packer, "COMMAND", (packer.COMMAND[0], "-c", code))
    launcher = Launcher(store, interval=0.05)
    launcher.start()
    try:
        deadline = time.monotonic() + 60
        while not headers.is_packed(store.checkpoint(finished)) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        launcher.stop()
    assert headers.is_packed(store.checkpoint(finished))


def test_the_command_line_packs_all(store, finished, capsys):
    assert main(["runs", "pack", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["packed"]
    assert told["run"] == finished and told["after"] < told["before"]
    assert main(["runs", "pack"]) == 0 and "Nothing was packed" in capsys.readouterr().out
