"""`search` on the command line: what it asks for, what it refuses before anything starts, what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from apt_core.base.policy import HostPolicy
from apt_core.cli import main
from apt_core.cli.parser import build_parser
from apt_core.cli.search import job_from
from apt_core.execute.kept import TRAINING
from apt_core.runs.store import Store

TEXTS = ["--calibration", "wiki-sample", "--eval", "wiki-sample", "--samples", "6", "--length", "32"]
FEW = [*TEXTS, "--held-out", "2", "--eval-samples", "2", "--eval-length", "32", "--device", "cpu"]


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))


def asked(*more, policy=None):
    options = build_parser(policy or HostPolicy()).parse_args(["search", "--model", "tiny-llama", *more])
    return job_from(options, Store())


def test_flags_are_the_fields_of_the_job():
    job = asked(
        "--keep", "0.7", "--minutes", "2", "--population", "9", "--draws", "uniform", "--seed", "3", *FEW
    )
    assert (job.keep, job.minutes, job.seed) == (0.7, 2, 3)
    assert (job.evolution.population, job.evolution.draws) == (9, "uniform")
    assert (job.calibration.samples, job.calibration.held_out) == (6, 2)
    assert job.evaluation[0].samples == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model", "tiny-llama", "--keep", "1.5"], "keep"),
        (["--model", "tiny-llama", "--minutes", "0"], "minutes"),
        (["--model", "tiny-llama", "--population", "1"], "population"),
        (["--model", "tiny-mamba"], "no attention heads or MLP channels"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--model", "tiny-llama", "--length", "30000"], "longer than"),
        (["--resume", "20200101-000000-abcd"], "no run 20200101"),
        ([], "--model"),
    ],
)
def test_bad_input_is_one_sentence_and_starts_nothing(capsys, flags, said):
    assert main(["search", *flags, "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert said.lower() in told["error"]["message"].lower()
    assert Store().list() == []


def stopped_behind(generation):
    """A search of a hundred generations that was stopped behind this one."""
    store = Store()
    stopped = store.create(asked("--generations", "100", *TEXTS))
    kept = store.folder(stopped) / TRAINING
    kept.mkdir()
    state = {"generations": [{"number": one} for one in range(generation + 1)]}
    save_file({"one": torch.zeros(1)}, kept / "state.safetensors", metadata={"state": json.dumps(state)})
    store.request_cancel(stopped)
    return store, stopped


def test_one_that_stopped_ends_with_what_it_reached(capsys):
    store, stopped = stopped_behind(7)
    job = job_from(build_parser().parse_args(["search", "--resume", stopped, "--finish"]), store)
    assert (job.resume, job.generations) == (stopped, 7)
    assert main(["search", "--resume", stopped, "--finish", "--minutes", "3", "--json"]) == 2
    assert "leave --minutes out" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert main(["search", "--model", "tiny-llama", "--finish", "--json"]) == 2
    assert "name it with --resume" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_public_host_bounds_the_minutes(capsys, monkeypatch):
    assert asked("--minutes", "21").minutes == 21
    monkeypatch.setenv("APT_PUBLIC", "1")
    assert main(["search", "--model", "tiny-llama", "--minutes", "21", "--json"]) == 2
    assert "20 minutes at most on this host" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert asked("--minutes", "20", policy=HostPolicy(public=True)).minutes == 20


@pytest.mark.slow
def test_a_search_tells_a_program_and_a_person(capsys):
    flags = ["--model", "tiny-random-llama", "--keep", "0.6", "--generations", "2", "--population", "4"]
    flags += ["--multiple", "1", "--tolerance", "0.02", *FEW]
    assert main(["search", *flags, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "search" and told["status"] == "finished"
    assert [one["number"] for one in told["generations"]] == [0, 1, 2]
    assert told["search"]["keep"] == 0.6
    assert told["parameters"]["pruned"] < told["parameters"]["dense"]
    assert list(Path(told["checkpoint"]).glob("*.safetensors"))
    assert {"dense", "start", "pruned"} <= told["perplexity"].keys()
    assert main(["search", *flags]) == 0
    said = capsys.readouterr().out
    assert "uniform widths" in said and "The search" in said and "best perplexity" in said
    assert main(["runs", "show", told["run"]]) == 0
    assert "start" in capsys.readouterr().out
