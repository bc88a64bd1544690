"""`prune` with a method that makes a smaller model: what it takes, what it refuses, what it prints."""

from __future__ import annotations

import json

import pytest

from apt_core.cli import main
from apt_core.methods import METHODS, STRUCTURED
from apt_core.runs.store import Store

WINDOWS = ["--calibration", "wiki-sample", "--eval", "wiki-sample", "--samples", "4", "--length", "32"]
FEW = [*WINDOWS, "--eval-samples", "2", "--eval-length", "32", "--device", "cpu"]


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_prune_by_depth_tells_a_program(capsys, tmp_path):
    asked = [
        "prune",
        "--model",
        "tiny-llama",
        "--method",
        "depth",
        "--sparsity",
        "0.25",
        "--set",
        "criterion=last",
    ]
    assert main([*asked, *FEW, "--out", str(tmp_path / "small"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["kind"] == "shrink" and said["method"] == "depth" and said["pattern"] == "25%"
    assert said["shrunk"]["kept"] == [0, 1, 2]
    assert said["parameters"]["pruned"] < said["parameters"]["dense"]
    assert said["bytes"]["pruned"] < said["bytes"]["dense"]
    assert set(said["tokens_per_second"]) == {"dense", "pruned"} and said["calibration"] is None
    assert json.loads((tmp_path / "small" / "config.json").read_text())["num_hidden_layers"] == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--method", "depth", "--pattern", "2:4"], "removes whole structures; give a sparsity"),
        (["--method", "depth", "--pattern", "2:4 mixed"], "removes whole structures; give a sparsity"),
        (["--method", "depth", "--sparsity", "0.01"], "less than half of one of 4 blocks"),
        (["--method", "depth", "--sparsity", "0.25", "--allocation", "owl"], "takes no allocation"),
        (["--method", "llm-pruner", "--sparsity", "0.2", "--refinement", "dsnot"], "takes no refinement"),
        (["--method", "depth", "--sparsity", "0.25", "--set", "criterion=best"], "criterion"),
        (["--method", "depth", "--sparsity", "0.25", "--compensate"], "has no option 'compensate'"),
        (["--method", "wanda", "--sparsity", "0.25", "--compensate"], "belongs to llm-pruner"),
        (["--method", "depth", "--sparsity", "0.25", "--race", "wanda"], "leave --race out"),
        (["--method", "depth", "--sparsity", "0.25", "--optional-layers"], "leave --optional-layers out"),
        (["--method", "llm-pruner", "--sparsity", "0.2", "--model", "tiny-mamba"], "no attention heads"),
    ],
)
def test_what_does_not_compose_is_refused_before_anything_starts(changes, words, capsys):
    assert main(["prune", "--model", "tiny-llama", *FEW, *changes, "--json"]) == 2
    assert words in json.loads(capsys.readouterr().out)["error"]["message"]
    assert Store().list() == []


def test_methods_lists_both_kinds(capsys):
    assert main(["methods", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == [*METHODS, *STRUCTURED]
    assert main(["methods"]) == 0
    assert "--set criterion=influence" in capsys.readouterr().out
