"""What a person expects of any command line: help, versions, near misses, names of runs, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from apt_core import __version__
from apt_core.cli import main
from apt_core.cli.parser import build_parser
from apt_core.jobs import make_job
from apt_core.runs.store import Store


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    return Store()


@pytest.fixture
def two(store) -> list[str]:
    """Runs that wait, the older first; their ids begin alike."""
    job = make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude")
    found = [store.create(job)]
    while (latest := store.create(job))[:15] == found[0][:15]:  # ids tell the second
        store.request_cancel(latest)
        store.delete(latest)
        time.sleep(0.1)
    return [*found, latest]


def said(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    return err


def test_the_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and __version__ in capsys.readouterr().out


def test_no_command_is_a_call_for_help(capsys):
    assert "serve" in said(capsys) and "APT_DEBUG" in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["prun"], "'prune'"),
        (["runs", "shwo"], "'show'"),
        (["evaluate", "--model", "m", "--eval-sample-s", "3"], "'--eval-samples'"),
        (["sweep", "--model", "tiny-random-llama", "--methods", "wnda", "--sparsity", "0.5"], "'wanda'"),
        (["prune", "--model", "m", "--sparsity", "0.5", "--mask", "wandaa"], "'wanda'"),
    ],
)
def test_near_misses_are_told(capsys, arguments, hint):
    assert f"Did you mean {hint}?" in refused(capsys, *arguments)


@pytest.mark.parametrize("command", [["prune"], ["evaluate"], ["recover"], ["sweep"], ["search"]])
def test_help_is_in_groups_without_empty_parentheses(capsys, command):
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    said = capsys.readouterr().out
    assert "(default: )" not in said and ": --set" not in said
    assert "\ntexts:\n" in said and "\nresources:\n" in said and "\nmodel:\n" in said


@pytest.mark.parametrize("port", ["99999", "0", "-1", "seven"])
def test_a_port_that_is_none(capsys, port):
    assert "--port" in refused(capsys, "serve", f"--port={port}")


def test_a_list_of_no_runs_is_refused(capsys, two):
    assert "--limit must be at least 1" in refused(capsys, "runs", "--limit", "0")


def test_a_device_that_is_not_there_is_refused_before_anything_is_queued(capsys, store):
    arguments = [
        "--model",
        "tiny-random-llama",
        "--method",
        "magnitude",
        "--sparsity",
        "0.5",
        "--device",
        "mps",
    ]
    assert "no MPS device" in refused(capsys, "prune", *arguments)
    assert store.list() == []


def test_latest_and_a_unique_beginning_name_a_run_everywhere(capsys, store, two):
    older, latest = two
    assert json.loads(said(capsys, "runs", "show", "latest", "--json"))["run"] == latest
    assert json.loads(said(capsys, "runs", "show", older[:15], "--json"))["run"] == older
    said(capsys, "label", "latest", "--name", "The last")
    said(capsys, "runs", "label", older[:16], "--name", "The first")
    assert [store.labels_of(one).name for one in two] == ["The first", "The last"]
    assert "beginning of 2 ids" in refused(capsys, "runs", "show", older[:8])
    assert "no run '1999'" in refused(capsys, "runs", "show", "1999")
    told = json.loads(said(capsys, "compare", older[:15], "latest", "--json"))
    assert [one["run"] for one in told["runs"]] == two
    assert latest in refused(capsys, "evaluate", "--model", "run:latest")
    said(capsys, "runs", "cancel", older[:15])
    said(capsys, "runs", "delete", older[:15])
    assert [one.id for one in store.list()] == [latest]


def test_latest_of_nothing(capsys):
    assert "no runs yet" in refused(capsys, "runs", "show", "latest")


def test_what_is_done_with_a_run_stands_below_runs_too(capsys, two):
    for action in ("report", "export", "pack"):
        with pytest.raises(SystemExit):
            main(["runs", action, "--help"])
        assert "usage" in capsys.readouterr().out
    assert "--out" in refused(capsys, "runs", "pack", "latest")


def test_completion_is_a_script_of_the_shell_where_its_package_is_there(capsys):
    pytest.importorskip("shtab")
    assert "--sparsity" in said(capsys, "completion", "bash")


def test_ctrl_c_gives_the_terminal_back_within_two_seconds_also_while_a_run_starts(store):
    """Before the first event, when a worker hears nothing but a signal."""
    arguments = ["prune", "--model", "tiny-llama", "--method", "sparsegpt", "--sparsity", "0.5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "apt_core", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
        # As a terminal starts it: what a shell sends to the background inherits SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not (store.list() and store.list()[0].status == "running"):
        time.sleep(0.02)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130 and time.monotonic() - begun < 2.5  # two, and a busy machine
    deadline = time.monotonic() + 20
    while store.list()[0].live and time.monotonic() < deadline:
        time.sleep(0.1)
        main(["runs"])
    assert store.list()[0].status == "cancelled"


def test_every_command_says_what_it_does():
    assert all(parser.description for parser in build_parser().commands.choices.values())
