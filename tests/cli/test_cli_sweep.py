"""`sweep`: one study, one line per run, one table; workers run a scripted pipeline here."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import apt_core
from apt_core.cli import main
from apt_core.jobs.space import make_space
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from tests.runs.helpers import fake_command

SWEEP = ["sweep", "--model", "tiny-random-llama"]
GRID = [*SWEEP, "--methods", "apt,wanda", "--sparsity", "0.5"]


@pytest.fixture(autouse=True)
def workers(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))

    def use(behaviour):
        launcher = functools.partial(Launcher, command=fake_command(behaviour), interval=0.05)
        monkeypatch.setattr("apt_core.cli.sweep.Launcher", launcher)

    use("sweeping")
    return use


def test_a_sweep_is_one_study_and_one_json_object(capsys):
    assert main([*GRID, "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    (study,) = Store().studies()
    assert (study.id, study.kind) == (told["study"], "sweep") and study.space is not None
    assert [(run["method"], run["pattern"], run["seed"]) for run in told["runs"]] == [
        ("apt", "50%", 0),
        ("wanda", "50%", 0),
    ]
    assert {run["status"] for run in told["runs"]} == {"finished"}
    assert all(run["perplexity"] > 0 and run["run"] in study.runs for run in told["runs"])
    # the scripted second run spares what the first one measured
    assert told["seconds"]["alone"] >= told["seconds"]["total"] > 0
    assert "2 runs, about" in err and err.count("perplexity") >= 2


@pytest.mark.slow
def test_a_run_that_fails_is_shown_and_the_rest_goes_on_and_can_be_asked_for_again(capsys, workers):
    workers("wanda_fails")
    assert main(GRID) == 2
    out, err = capsys.readouterr()
    assert "failed" in out and "finished" in out and "The calibration text is empty" in err
    (study,) = Store().studies()
    workers("sweeping")
    assert main(["sweep", "--resume", study.id, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["study"] == study.id and {run["status"] for run in told["runs"]} == {"finished"}
    assert told["runs"][0]["run"] == study.runs[0] and told["runs"][1]["run"] != study.runs[1]


def test_runs_share_the_cores_where_that_is_asked_for(capsys, monkeypatch, workers):
    """The second is at work before the first ends: neither comes to an end by itself."""
    monkeypatch.setattr("apt_core.runs.executors.local.cpu.usable_cores", lambda: 4)
    workers("until_two_work")
    assert main([*GRID, "--at-once", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "2 runs, up to 2 at once" in err
    assert [run["status"] for run in json.loads(out)["runs"]] == ["finished"] * 2
    first, second = (record for record in Store().list())
    assert second.started_at < first.ended_at and first.started_at < second.ended_at


@pytest.mark.parametrize("number", ["0", "two", "1,2", "9999"])
def test_a_number_of_runs_at_once_that_is_none_is_a_sentence(number, capsys):
    assert main([*GRID, "--at-once", number]) == 2
    assert "--at-once" in capsys.readouterr().err and not Store().studies()


def test_a_dry_run_says_what_it_takes_and_queues_nothing(capsys):
    grid = [*GRID, "--pattern", "2:4", "--allocations", "uniform,loss", "--seeds", "0,1", "--samples", "4,8"]
    assert main([*grid, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["runs"]) == 2 * 3 * 2 * 2 and told["estimate"]["seconds"] > 0
    assert "2:4" in told["dropped"][0]
    assert main([*grid, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 + 24 and "24 runs" in err
    assert Store().list() == [] and Store().studies() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--methods", "apple", "--sparsity", "0.5"], "There is no method 'apple'"),
        (["--methods", "apt", "--allocations", "fair", "--sparsity", "0.5"], "no allocation 'fair'"),
        (["--methods", "apt"], "Say how much goes"),
        (["--sparsity", "0.5,x"], "'x' is neither a sparsity"),
        (["--sparsity", "0.5", "--seeds", "1,b"], "--seeds takes whole numbers"),
        (["--sparsity", "0.5", "--samples", "0"], "--samples must be at least 1"),
        (["--sparsity", "0.5", "--seeds", ",".join(map(str, range(64))), "--samples", "8,16"], "at most 64"),
        (["--sparsity", "0.5", "--pattern", "1:7"], "divisible by 7"),
        (["--resume", "20200101-000000-0000"], "leave --model out"),
    ],
)
def test_bad_input_is_one_sentence_and_queues_nothing(capsys, arguments, words):
    assert main([*SWEEP, *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err and err.count("\n") == 1 and out == ""
    assert Store().list() == [] and Store().studies() == []


@pytest.mark.slow
def test_the_most_sparsity_within_a_bound_is_searched_run_by_run(capsys):
    """The scripted model's ratio is 1 / (1 - sparsity): 1.60 is reached at 37.5%."""
    assert main([*SWEEP, "--method", "wanda", "--within", "1.6", "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["found"]["sparsity"] == 0.37 and told["found"]["within"] == 1.6
    assert len(told["runs"]) <= 8 and {run["method"] for run in told["runs"]} == {"wanda"}
    assert told["found"]["run"] in [run["run"] for run in told["runs"] if run["pattern"] == "37%"]
    assert "At most 8 runs, about" in err
    (study,) = Store().studies()
    assert study.kind == "bisection" and len(study.runs) == len(told["runs"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "apt", "--sparsity", "0.5"], "--method goes with --within"),
        (["--within", "1.1", "--sparsity", "0.5"], "leave --sparsity out"),
        (["--within", "1.1", "--pattern", "2:4"], "leave --pattern out"),
        (["--within", "1.1", "--methods", "apt,wanda"], "one method"),
        (["--within", "1.0", "--method", "apt"], "--within must be above 1"),
        (["--within", "1.1", "--method", "apple"], "no method 'apple'"),
    ],
)
def test_a_search_that_cannot_be_is_one_sentence(capsys, arguments, words):
    assert main([*SWEEP, *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err and err.count("\n") == 1 and out == "" and Store().list() == []


def test_the_study_of_a_visitor_is_not_gone_on_with_here(capsys):
    """Its runs are begun by the app alone, which has the host's rules."""
    job = apt_core.plan("tiny-random-llama", "magnitude", 0.5)
    study = Store().create_study("sweep", [job], asked=make_space(job, methods=("magnitude",)), owner="v:ann")
    Store().cancel_study(study.id)
    assert main(["sweep", "--resume", study.id]) == 2
    assert "only they can resume it" in capsys.readouterr().err
    assert Store().study(study.id) == study


@pytest.mark.parametrize("study", ["20200101-000000-0000", "../../etc"])
def test_an_unknown_study_is_one_sentence(capsys, study):
    assert main(["sweep", "--resume", study]) == 2
    assert "There is no study" in capsys.readouterr().err


def test_a_public_host_sweeps_less(capsys, monkeypatch):
    monkeypatch.setenv("APT_PUBLIC", "1")
    assert main([*SWEEP, "--sparsity", "0.5", "--seeds", "0,1,2,3,4,5,6,7,8"]) == 2
    assert "at most 8" in capsys.readouterr().err


def test_ctrl_c_stops_the_study_and_says_how_to_go_on(tmp_path):
    code = (
        "import functools, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"  # not inherited
        "from apt_core.cli import main; import apt_core.cli.sweep as sweep;"
        "from apt_core.runs.launcher import Launcher; from tests.runs.helpers import fake_command;"
        "sweep.Launcher = functools.partial(Launcher, command=fake_command('slow'), interval=0.05);"
        "sys.exit(main(sys.argv[1:]))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, *GRID],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"APT_DEBUG": "1"},
    )
    store = Store()
    deadline = time.monotonic() + 120
    while not any(record.layers for record in store.list()) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=120)
    (study,) = store.studies()
    assert child.returncode == 130, err
    assert f"sweep --resume {study.id}" in err
    assert [record.status for record in store.runs_of(study.id)] == ["cancelled", "cancelled"]
    assert not store.runs_of(study.id)[1].started_at and out.count("cancelled") == 2


def test_a_list_of_recipes_is_a_sweep(capsys):
    lines = ["--recipe", "wanda 0.3", "--recipe", "apt 2:4 seed=2"]
    assert main([*SWEEP, *lines, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [(run["method"], run["pattern"], run["seed"]) for run in runs] == [
        ("wanda", "30%", 0),
        ("apt", "2:4", 2),
    ]
    assert main([*SWEEP, "--recipe", "wandering 0.3"]) == 2
    assert "Recipe 'wandering 0.3': There is no method 'wandering'" in capsys.readouterr().err
    assert main([*SWEEP, "--recipe", "wanda 0.3", "--method", "apt", "--within", "1.1"]) == 2
    assert "leave --recipe out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("axis", "value"), [("methods", "wanda"), ("allocations", "loss"), ("seeds", "0,1"), ("samples", "8,16")]
)
def test_an_axis_beside_recipes_asks_how_much_goes(capsys, axis, value):
    """APT at 50% was planned, of which nobody had said a word."""
    asked = [*SWEEP, "--recipe", "wanda 0.3", f"--{axis}", value, "--dry-run", "--json"]
    assert main(asked) == 2
    refused = json.loads(capsys.readouterr().out)["error"]["message"]
    assert f"leave --{axis} out" in refused and "--sparsity" in refused
    assert main([*asked, "--sparsity", "0.4"]) == 0
    assert {run["pattern"] for run in json.loads(capsys.readouterr().out)["runs"]} == {"30%", "40%"}


def test_the_plan_of_a_sweep_tells_recipes_apart(capsys):
    lines = ["--recipe", "sparsegpt 2:4 mask.block-size=64", "--recipe", "sparsegpt 2:4"]
    assert main([*SWEEP, *lines, "--dry-run", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["runs"]
    assert first["options"]["mask"]["block_size"] == 64 != second["options"]["mask"]["block_size"]
