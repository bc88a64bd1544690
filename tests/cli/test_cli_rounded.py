"""`rounded`: what rounding would give beside a run, as one study; workers run a scripted pipeline here."""

from __future__ import annotations

import functools
import json
import shutil

import pytest

from apt_core.base.paths import ASSETS
from apt_core.cli import main
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from tests.runs.helpers import fake_command

PRUNE = ["prune", "--model", "tiny-random-llama", "--sparsity", "0.5", "--eval", "wiki-sample"]


@pytest.fixture(autouse=True)
def workers(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))

    def use(behaviour):
        launcher = functools.partial(Launcher, command=fake_command(behaviour), interval=0.05)
        for command in ("prune", "rounded"):
            monkeypatch.setattr(f"apt_core.cli.{command}.Launcher", launcher)

    use("rounding")
    return use


@pytest.fixture
def run(workers):
    """A finished run whose pruned model can be measured."""
    assert main(PRUNE) == 0
    (record,) = Store().list()
    checkpoint = Store().checkpoint(record.id)
    shutil.rmtree(checkpoint)
    shutil.copytree(ASSETS / "models" / "tiny-random-llama", checkpoint)
    return record.id


def test_what_is_measured_stands_beside_the_run_by_size(run, capsys):
    capsys.readouterr()
    assert main(["rounded", run, "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    (study,) = Store().studies()
    assert (study.kind, study.id, told["runs"]) == ("rounding", told["study"], [run])
    found = [(one["bits"], one["bytes"], one["perplexity"]) for one in told["models"]]
    assert found == [
        (None, 2000, 10.0),  # as it is
        (None, 1100, 15.0),  # pruned
        (8, 800, 11.0),
        (8, 480, 11.0),  # pruned and rounded
        (4, 400, 12.0),
    ]
    assert told["models"][3]["model"] == "APT · 50%, 8 bits" and "3 rounded models to measure, about" in err
    assert [one["ratio"] and one["ratio"]["ratio"] for one in told["models"]] == [None, 1.5, 1.1, 1.1, 1.2]


def test_nothing_is_measured_twice(run, capsys):
    assert main(["rounded", run]) == 0
    assert len(Store().list()) == 4 and "dense, 4 bits" in capsys.readouterr().out
    assert main(["rounded", run, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["study"] is None and len(told["models"]) == 5 and len(Store().list()) == 4


def test_a_dry_run_queues_nothing(run, capsys):
    capsys.readouterr()
    assert main(["rounded", run, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"] == [
        {"model": "tiny-random-llama", "bits": 8},
        {"model": "tiny-random-llama", "bits": 4},
        {"model": f"run:{run}", "bits": 8},
    ]
    assert told["estimate"]["seconds"] > 0 and len(Store().list()) == 1


def test_one_that_fails_is_said_and_asked_for_again(run, capsys, workers):
    workers("bad_text")
    capsys.readouterr()
    assert main(["rounded", run, "--json"]) == 2
    out, err = capsys.readouterr()
    assert "The calibration text is empty" in err and len(json.loads(out)["models"]) == 2
    workers("rounding")
    assert main(["rounded", run]) == 0 and "dense, 4 bits" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["20200101-000000-abcd", "", "all"])
def test_a_run_that_does_not_exist_is_a_sentence(name, capsys):
    assert main(["rounded", name]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err


def test_a_run_that_measured_nothing_is_a_sentence(capsys, workers):
    workers("steady")
    assert main(PRUNE) == 0
    capsys.readouterr()
    assert main(["rounded", Store().list()[0].id, "--json"]) == 2
    assert "these are none" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert len(Store().list()) == 1
