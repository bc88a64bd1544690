"""`allocation`: what each layer gets, as a table and as one JSON value; bad input is a sentence and starts nothing."""

from __future__ import annotations

import json

import pytest

import apt_core
from apt_core.base.policy import PRIVATE
from apt_core.cli import main
from apt_core.runs import inspecting, inspector
from apt_core.runs.store import Store

FEW = ("--calibration", "wiki-sample", "--samples", "4", "--length", "64")


class Here(inspecting.Inspector):
    """Answers in this process: the processes themselves have tests of their own."""

    asked = 0

    def _answered(self, question, store):
        Here.asked += 1
        yield from inspector.replies(question.model_dump_json(), store, PRIVATE)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("apt_core.cli.allocation.Inspector", Here)
    Here.asked = 0


def asked(*flags, model="tiny-random-llama"):
    return main(["allocation", "--model", model, *flags])


def test_json_is_one_value_and_the_same_as_in_python(capsys):
    assert asked("--allocation", "owl", "--sparsity", "0.7", *FEW, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    found = apt_core.allocation(
        "tiny-random-llama", "owl", 0.7, calibration={"text": "wiki-sample", "samples": 4, "length": 64}
    )
    assert said["layers"] == json.loads(json.dumps(found.as_json()["layers"]))
    assert said["options"]["name"] == "owl" and said["model"] == "tiny-random-llama"
    assert said["removed"] == found.removed and said["sparsity"] == pytest.approx(0.7, abs=1e-4)
    assert Store().list() == [], "no run was made"


def test_a_table_for_people(capsys):
    assert asked("--allocation", "atp", "--sparsity", "0.5", "--set", "allocation.rise=0.4") == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert lines[0] == "Tiny random Llama, By depth (ATP) at 50%: what each layer is to lose"
    assert lines[1].split() == ["block", "q", "k", "v", "o", "gate", "up", "down"]
    assert lines[3].split() == ["0"] + ["30%"] * 7 and lines[4].split() == ["1"] + ["70%"] * 7
    assert lines[5].endswith("weights go, 50%.")


def test_the_allocation_of_a_method_and_a_mixed_pattern(capsys):
    assert asked("--method", "apt-joint", "--pattern", "2:4 mixed", *FEW, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["options"]["name"] == "loss" and {one["sparsity"] for one in said["layers"]} <= {
        0.25,
        0.5,
        0.75,
    }


def test_layers_are_held_and_what_is_said_begins_a_run(capsys):
    held = ("--set", "allocation.held=1:mlp.up_proj=0.25")
    assert asked("--allocation", "by-hand", "--sparsity", "0.5", *held, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    layers = {f"{one['block']}:{one['layer']}": one["sparsity"] for one in said["layers"]}
    assert layers["1:mlp.up_proj"] == 0.25
    start = ("--set", f"allocation.start={said['start']}")
    assert asked("--allocation", "by-hand", "--sparsity", "0.5", *start, "--json") == 0
    again = {
        f"{one['block']}:{one['layer']}": one["sparsity"]
        for one in json.loads(capsys.readouterr().out)["layers"]
    }
    assert again == pytest.approx(layers, abs=1e-3)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--allocation", "nothing", "--sparsity", "0.5"), "There is no allocation 'nothing'"),
        (("--allocation", "atp", "--sparsity", "1.5"), "out of range"),
        (("--method", "depth", "--sparsity", "0.5"), "no allocation applies"),
        (("--allocation", "atp", "--sparsity", "0.5", "--set", "allocation.rise=7"), "rise"),
        (("--allocation", "atp"), "arguments --sparsity --pattern is required"),
        (("--allocation", "uniform", "--pattern", "2:4 mixed"), "lets layers differ"),
        (("--allocation", "owl", "--sparsity", "0.5", "--calibration", "not-here.txt"), "not-here.txt"),
    ],
)
def test_bad_input_is_a_sentence_and_nothing_is_asked(capsys, flags, said):
    assert asked(*flags, "--json") == 2
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]
    assert Here.asked == 0


def test_a_model_that_is_not_there_and_terms_that_are_open(capsys):
    assert asked("--allocation", "atp", "--sparsity", "0.5", "--json", model="/not/here") == 2
    assert "no folder" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert asked("--allocation", "atp", "--sparsity", "0.5", "--json", model="gemma-3-270m") == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "terms_not_accepted"
    assert Here.asked == 0


def test_layers_that_are_not_there_are_a_sentence(capsys):
    flags = ("--allocation", "by-hand", "--sparsity", "0.5", "--set", "allocation.held=9:q=0.5")
    assert asked(*flags, "--json") == 2
    assert "no layer 9:q" in json.loads(capsys.readouterr().out)["error"]["message"]
