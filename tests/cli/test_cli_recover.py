"""`recover` on the command line: what it asks for, and what it refuses before anything starts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import apt_core
from apt_core import events as ev
from apt_core.base.paths import ASSETS
from apt_core.cli import main
from apt_core.cli.parser import build_parser
from apt_core.cli.recover import job_from
from apt_core.cli.resuming import going_on
from apt_core.execute.kept import TRAINING
from apt_core.runs.store import Store


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A finished run whose weights are those of the smallest bundled model."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cli-recover")
        patch.setenv("APT_DATA", str(folder / "data"))
        patch.setenv("APT_CACHE", str(folder / "cache"))
        store = Store()
        run_id = store.create(apt_core.plan("tiny-random-llama", "wanda", "2:4"))
        shutil.copytree(ASSETS / "models" / "tiny-random-llama", store.folder(run_id) / "checkpoint")
        store.append(run_id, ev.Finished(seconds={}, peak_rss_bytes=1, checkpoint="checkpoint"))
        with store.index.write() as rows:
            rows.update(run_id, status="finished")
        yield store.get(run_id)


def asked(parent, *more):
    options = build_parser().parse_args(["recover", "--run", parent.id, *more])
    return job_from(options, Store())


def test_flags_are_the_fields_of_the_job(parent):
    job = asked(
        parent,
        *(
            "--method",
            "spp",
            "--steps",
            "20",
            "--text",
            "wiki-sample",
            "--eval",
            "wiki-sample",
            "--seed",
            "3",
        ),
        *("--set", "rank=8", "--length", "64", "--batch", "3", "--stop-when-flat", "0.01"),
    )
    assert job.model.run == parent.id and job.method.rank == 8
    assert (job.optimiser_steps, job.seed, job.stop_when_flat) == (20, 3, 0.01)
    assert (job.training.text, job.training.length, job.training.batch) == ("wiki-sample", 64, 3)
    assert [one.text for one in job.evaluation] == ["wiki-sample"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--method", "magic"), "no way to recover"),
        (("--method", "spp", "--set", "depth=3"), "no option 'depth'"),
        (("--method", "spp", "--steps", "0"), "Steps"),
        ((), "--method"),
        (("--method", "spp", "--text", "/nowhere.txt"), "no text called"),
        (("--method", "spp", "--resume", "20200101-000000-abcd"), "no run 20200101"),
        (("--method", "spp", "--length", "30000"), "longer than"),
    ],
)
def test_bad_input_is_one_sentence_and_starts_nothing(parent, capsys, flags, said):
    before = len(Store().list())
    assert main(["recover", "--run", parent.id, *flags, "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert said.lower() in told["error"]["message"].lower()
    assert len(Store().list()) == before


def test_a_run_that_is_not_there_or_made_nothing(parent, capsys):
    assert main(["recover", "--run", "20200101-000000-abcd", "--method", "spp", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "unknown_run"
    assert main(["recover", "--resume", parent.id, "--json"]) == 2
    assert "is no recovery" in json.loads(capsys.readouterr().out)["error"]["message"]


@pytest.mark.parametrize(("flags", "steps"), [((), 5), (("--steps", "9"), 9)])
def test_one_that_stopped_goes_on_with_as_many_steps_as_are_asked_for(parent, flags, steps):
    store = Store()
    stopped = store.create(asked(parent, "--method", "spp", "--steps", "5", "--text", "wiki-sample"))
    kept = store.folder(stopped) / TRAINING
    kept.mkdir()
    (kept / "state.safetensors").write_bytes(b"0")
    store.request_cancel(stopped)
    job = job_from(build_parser().parse_args(["recover", "--resume", stopped, *flags]), store)
    assert (job.resume, job.optimiser_steps, job.model.run) == (stopped, steps, parent.id)


def stopped_at(parent, step):
    """A recovery of 50 steps that was stopped behind this one."""
    store = Store()
    stopped = store.create(asked(parent, "--method", "spp", "--steps", "50", "--text", "wiki-sample"))
    kept = store.folder(stopped) / TRAINING
    kept.mkdir()
    state = {"format": "pt", "state": json.dumps({"step": step, "a_later_version_s": 1})}
    save_file({"one": torch.zeros(1)}, kept / "state.safetensors", metadata=state)
    store.request_cancel(stopped)
    return store, stopped


def test_one_that_stopped_ends_with_what_it_reached(parent):
    store, stopped = stopped_at(parent, 20)
    job = job_from(build_parser().parse_args(["recover", "--resume", stopped, "--finish"]), store)
    assert (job.resume, job.optimiser_steps) == (stopped, 20)


def test_one_that_stops_says_how_it_is_resumed(parent):
    store, stopped = stopped_at(parent, 20)
    record = store.get(stopped)
    assert going_on(record, store) == (
        f"How far it came is kept: 'recover --resume {stopped}' goes on from there, "
        "and with --finish makes a model of it."
    )
    store, early = stopped_at(parent, 0)
    assert going_on(store.get(early), store).endswith(f"--resume {early}' goes on from there.")
    shutil.rmtree(store.folder(early) / TRAINING)
    assert going_on(store.get(early), store) == "" == going_on(parent, store)


@pytest.mark.parametrize(
    ("step", "flags", "said"),
    [
        (0, ("--finish",), "reached nothing yet"),
        (20, ("--finish", "--steps", "30"), "leave --steps out"),
    ],
)
def test_what_cannot_be_finished_is_one_sentence(parent, capsys, step, flags, said):
    _, stopped = stopped_at(parent, step)
    assert main(["recover", "--resume", stopped, *flags, "--json"]) == 2
    assert said in json.loads(capsys.readouterr().out)["error"]["message"]


def test_nothing_to_finish_without_a_run_that_stopped(parent, capsys):
    assert main(["recover", "--run", parent.id, "--method", "spp", "--finish", "--json"]) == 2
    assert "--resume" in json.loads(capsys.readouterr().out)["error"]["message"]


@pytest.mark.slow
def test_a_recovery_from_start_to_end(parent, capsys):
    flags = ("--text", "wiki-sample", "--eval", "wiki-sample", "--eval-samples", "2", "--eval-length", "64")
    assert main(["recover", "--run", parent.id, "--method", "partial", "--steps", "4", *flags, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == "finished" and told["made_from"] == parent.id
    assert told["steps"][-1]["step"] == 4 and told["perplexity"]["recovered"] > 0
    assert told["checkpoint"] and list(Path(told["checkpoint"]).glob("*.safetensors"))
