"""`pack` and `unpack`: a run or a folder, one JSON object, one sentence for what cannot work."""

from __future__ import annotations

import json
import shutil

import pytest

from apt_core.base.paths import ASSETS
from apt_core.cli import main
from apt_core.jobs import make_job, read_job
from apt_core.models.checkpoint import headers
from apt_core.reports.writing import JOB_COPY
from apt_core.runs.store import Store
from tests.runs.test_store import finish

TINY = ASSETS / "models" / "tiny-llama"


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))


@pytest.fixture
def half(tmp_path):
    """A folder without half of each matrix."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(TINY, tmp_path / "half")
    tensors = load_file(folder / "model.safetensors")
    for weight in (weight for weight in tensors.values() if weight.dim() == 2):
        weight.reshape(-1)[::2] = 0
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def run_id(half):
    store = Store()
    run_id = store.create(make_job("prune", model={"id": "tiny-llama"}, method="magnitude"))
    finish(store, run_id)
    checkpoint = store.checkpoint(run_id)
    shutil.rmtree(checkpoint)
    shutil.copytree(half, checkpoint)
    return run_id


def said(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_folder_there_and_back(half, tmp_path, capsys):
    assert main(["pack", str(half), "--out", str(tmp_path / "packed"), "--json"]) == 0
    told = said(capsys)
    assert told["folder"] == str(tmp_path / "packed") and told["tensors"]["1:2"] > 20
    assert told["ratio"] == told["bytes"]["after"] / told["bytes"]["before"] < 0.6
    assert main(["unpack", str(tmp_path / "packed"), "--out", str(tmp_path / "plain"), "--json"]) == 0
    back = said(capsys)
    assert back["bytes"] == {"before": told["bytes"]["after"], "after": told["bytes"]["before"]}
    name = "model.safetensors"
    assert (tmp_path / "plain" / name).read_bytes() == (half / name).read_bytes()


def test_words_for_people(half, tmp_path, capsys):
    assert main(["pack", str(half), "--out", str(tmp_path / "packed")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1.65 MB became ") and "as 1:2" in out and "as they are" in out
    assert main(["unpack", str(tmp_path / "packed"), "--out", str(tmp_path / "plain")]) == 0
    assert "became 1.65 MB" in capsys.readouterr().out


@pytest.mark.parametrize("prefix", ["", "run:"])
def test_a_run_takes_its_job_along(run_id, tmp_path, prefix, capsys):
    assert main(["pack", prefix + run_id, "--out", str(tmp_path / "packed"), "--json"]) == 0
    assert headers.is_packed(tmp_path / "packed")
    assert read_job((tmp_path / "packed" / JOB_COPY).read_text()).model.id == "tiny-llama"
    assert not headers.is_packed(Store().checkpoint(run_id))


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["pack", "20261124-130501-a1b2"], "unknown_run", "no run"),
        (["pack", "run:nonsense"], "unknown_run", "no run"),
        (["pack", "nothing-here"], "bad_input", "no run and no folder"),
        (["pack", "./nothing-here"], "unknown_model", "no folder"),
        (["pack", "empty"], "not_a_model", "config.json"),
        (["unpack", str(TINY)], "not_a_model", "not packed"),
    ],
)
def test_what_cannot_work_is_one_sentence(arguments, kind, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main([*arguments, "--out", str(tmp_path / "new"), "--json"]) == 2
    error = said(capsys)["error"]
    assert error["kind"] == kind and words in error["message"] and error["message"].endswith(".")
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_not_written_to(half, tmp_path, capsys):
    assert main(["pack", str(half), "--out", str(half)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_full_disk_is_bad_input(half, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("apt_core.models.fetch.disk.free_bytes", lambda folder: 1000)
    assert main(["pack", str(half), "--out", str(tmp_path / "new"), "--json"]) == 2
    assert said(capsys)["error"]["kind"] == "disk_full" and not (tmp_path / "new").exists()
