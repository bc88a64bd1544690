"""`evaluate` goes through the queue like every other job. Workers run a script here."""

from __future__ import annotations

import functools
import json
import shutil

import pytest

from apt_core import events as ev
from apt_core.base.paths import ASSETS
from apt_core.cli import evaluate, main
from apt_core.jobs import Evaluate
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from tests.runs.helpers import fake_command
from tests.studies.compared_runs import measured_run

EVALUATE = ["evaluate", "--model", "tiny-random-llama"]


@pytest.fixture(autouse=True)
def workers(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))

    def use(behaviour):
        launcher = functools.partial(Launcher, command=fake_command(behaviour), interval=0.05)
        monkeypatch.setattr("apt_core.cli.evaluate.Launcher", launcher)

    use("measuring")
    return use


def test_texts_windows_and_intervals_for_programs(capsys):
    assert main([*EVALUATE, "--eval", "wikipedia, wiki-sample", "--eval-samples", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [set(one) >= {"text", "perplexity", "low", "high", "windows"} for one in said["texts"]] == [
        True,
        True,
    ]
    assert [one["text"] for one in said["texts"]] == ["wikipedia", "wiki-sample"]
    (record,) = Store().list()
    assert (said["run"], said["kind"], said["status"]) == (record.id, "evaluate", "finished")
    assert isinstance(record.job, Evaluate)
    assert [(one.text, one.samples) for one in record.job.evaluation] == [
        ("wikipedia", 2),
        ("wiki-sample", 2),
    ]


def test_a_table_for_people(capsys):
    assert main([*EVALUATE, "--eval", "wikipedia,wiki-sample"]) == 0
    said = capsys.readouterr().out
    assert "wikipedia" in said and "20.0" in said and "18.0 to 22.0" in said
    assert main(["runs"]) == 0 and "Perplexity · 2 texts" in capsys.readouterr().out
    assert main(["runs", "show", Store().list()[0].id]) == 0
    assert "20.0, 95% from 18.0 to 22.0 (8 windows of 64 tokens of wikipedia)" in capsys.readouterr().out


def test_rounding_is_asked_for_by_its_bits(capsys):
    assert main([*EVALUATE, "--rounding-bits", "4", "--rounding-group", "64", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rounding"] == {
        "bits": "4", "group": 64, "scheme": "symmetric",
    }  # fmt: skip
    assert main([*EVALUATE, "--rounding-bits", "3", "--json"]) == 2
    assert "3" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_file_whose_name_has_a_comma_is_one_text(tmp_path, monkeypatch):
    (tmp_path / "a,b.txt").write_text("words " * 1000)
    monkeypatch.chdir(tmp_path)
    assert main([*EVALUATE, "--eval", "a,b.txt"]) == 0
    assert [one.text for one in Store().list()[0].job.evaluation] == [str(tmp_path / "a,b.txt")]


@pytest.mark.slow
def test_what_a_run_made_by_its_id_with_and_without_prefix(workers, monkeypatch, capsys):
    monkeypatch.setattr(
        "apt_core.cli.prune.Launcher",
        functools.partial(Launcher, command=fake_command("steady"), interval=0.05),
    )
    assert main(["prune", "--model", "tiny-random-llama", "--pattern", "2:4"]) == 0
    parent = Store().list()[0].id
    shutil.copytree(ASSETS / "models" / "tiny-random-llama", Store().checkpoint(parent), dirs_exist_ok=True)
    for model in (parent, f"run:{parent}"):
        assert main(["evaluate", "--model", model]) == 0
        assert Store().list()[0].made_from == parent
    capsys.readouterr()
    assert main(["runs", "show", Store().list()[0].id]) == 0
    assert f"Made from run {parent} (" in capsys.readouterr().out
    assert main(["runs", "delete", parent]) == 2
    assert "were made from; delete those runs first" in capsys.readouterr().err
    assert main(["runs", "delete", parent, "--force"]) == 0
    capsys.readouterr()
    assert main(["runs", "show", Store().list()[0].id]) == 0
    assert f"Made from run {parent}, which has been deleted." in capsys.readouterr().out


def test_what_cannot_work_here_is_refused_before_a_run_is_made(capsys):
    """In the words of the page's preflight."""
    for command in ("evaluate", "prune --pattern 2:4"):
        assert main([*command.split(), "--model", "tiny-random-llama", "--eval-length", "30000"]) == 2
        assert "longer than the 8,192 that" in capsys.readouterr().err
    assert Store().list() == []


def test_a_failure_is_one_sentence_and_a_status(capsys, workers):
    workers("bad_text")
    assert main([*EVALUATE, "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["error"]["kind"] == "bad_text" and said["texts"] == []


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("run:20200101-000000-0000", "no run 20200101-000000-0000"),
        ("20200101-000000-0000", "no run 20200101-000000-0000"),
        ("run:../../etc", "There is no run"),
        ("no-such-model", "no model called"),
    ],
)
def test_what_is_not_there_starts_nothing(capsys, model, words):
    assert main(["evaluate", "--model", model, "--json"]) == 2
    assert words in json.loads(capsys.readouterr().out)["error"]["message"]
    assert Store().list() == []


def test_what_a_run_made_has_no_revisions(capsys):
    asked = ["evaluate", "--model", "run:20200101-000000-0000", "--revision", "main", "--json"]
    assert main(asked) == 2
    assert "leave --revision out" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_rounded_model_says_how_often_it_agrees_with_the_dense_one():
    apart = ev.Diverged(text="wikipedia", windows=6, length=512, tokens=6 * 511, kl=0.686, agreement=0.61)
    run = measured_run()
    assert "agrees" not in evaluate.as_text(run, "tiny-llama")
    said = evaluate.as_text(run.model_copy(update={"diverged": (apart,)}), "tiny-llama")
    assert said.endswith("It agrees with the dense model on 61% of next tokens, KL 0.686 nats a token.")
