"""`prune --race`: one run after another, one table. Workers run a scripted pipeline here."""

import functools
import json

import pytest

from apt_core.cli import main
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from tests.runs.helpers import fake_command

RACE = ["prune", "--model", "tiny-random-llama", "--method", "apt", "--pattern", "2:4", "--race"]


@pytest.fixture(autouse=True)
def workers(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))

    def use(behaviour):
        launcher = functools.partial(Launcher, command=fake_command(behaviour), interval=0.05)
        monkeypatch.setattr("apt_core.cli.prune.Launcher", launcher)

    use("steady")
    return use


@pytest.mark.slow
def test_a_race_is_stored_as_one_study(capsys):
    assert main([*RACE, "wanda,sparsegpt"]) == 0
    (study,) = Store().studies()
    assert study.kind == "race" and [job.method.name for job in study.jobs] == methods()
    assert {record.study for record in Store().list()} == {study.id}


def methods():
    return [record.job.method.name for record in reversed(Store().list())]


@pytest.mark.slow
def test_a_race_is_one_small_table(capsys):
    assert main([*RACE, "wanda, sparsegpt,apt", "--set", "mask=S", "--seed", "7"]) == 0
    out, err = capsys.readouterr()
    assert methods() == ["apt", "sparsegpt", "wanda"]
    assert {record.job.seed for record in Store().list()} == {7}
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["APT", "SparseGPT", "Wanda"]
    assert out.count("finished") == 3 and all(record.id in err for record in Store().list())


def test_a_race_is_one_json_list(capsys):
    assert main([*RACE, "wanda", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [run["method"] for run in told] == ["apt", "wanda"]
    assert all("error" not in run and run["checkpoint"].endswith("checkpoint") for run in told)


@pytest.mark.slow
def test_one_that_fails_does_not_keep_the_others(capsys, workers):
    workers("bad_text")
    assert main([*RACE, "wanda", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert [run["error"]["kind"] for run in told] == ["bad_text", "bad_text"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["apple"], "There is no method 'apple' to race"), (["wanda", "--out", "{tmp}/out"], "--out takes one")],
)
def test_bad_input_is_one_sentence_and_starts_nothing(capsys, tmp_path, arguments, words):
    assert main([*RACE, *(argument.format(tmp=tmp_path) for argument in arguments)]) == 2
    out, err = capsys.readouterr()
    assert words in err and err.count("\n") == 1 and out == "" and not methods()
