"""The real worker, pipeline and reader on the bundled tiny model, as page and command line start them."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from apt_core.cli import main
from apt_core.jobs import make_job
from apt_core.measure.questions import Answered, Question, ReaderReady, Step
from apt_core.runs.launcher import Launcher
from apt_core.runs.reading import Reader
from apt_core.runs.store import Store
from tests.runs.helpers import until, worker_pid


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def tiny(samples=4, length=64):
    return make_job(
        "prune",
        model={"id": "tiny-random-llama"},
        method="sparsegpt",
        calibration={"text": "wiki-sample", "samples": samples, "length": length},
        evaluation={"text": "wiki-sample", "samples": 4, "length": 64},
        dtype="float32",
    )


def pruning(store, run_id):
    """True once the worker is in the middle of the blocks."""
    record = store.get(run_id)
    return record.progress is not None and record.progress.stage in ("calibrate", "prune")


def test_the_command_line_prunes_evaluates_and_generates(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    out = str(tmp_path / "out")
    texts = ["--calibration", "wiki-sample", "--samples", "4", "--length", "64"]
    evaluation = ["--eval", "wiki-sample", "--eval-samples", "4", "--eval-length", "64", "--dtype", "float32"]
    model = ["--model", "tiny-random-llama", "--pattern", "2:4"]
    assert main(["prune", *model, *texts, *evaluation, "--out", out, "--json"]) == 0
    pruned = json.loads(capfd.readouterr().out)
    assert pruned["sparsity"] == 0.5
    assert len(pruned["layers"]) == 14
    assert {"load", "dense_eval", "prune", "pruned_eval", "total"} <= pruned["seconds"].keys()
    assert pruned["peak_rss_bytes"] > 1e8
    assert pruned["versions"]["torch"]

    assert main(["evaluate", "--model", out, *evaluation, "--json"]) == 0
    evaluated = json.loads(capfd.readouterr().out)
    (text,) = evaluated["texts"]
    assert text["perplexity"] == pytest.approx(pruned["perplexity"]["pruned"], rel=1e-4)
    assert text["low"] < text["perplexity"] < text["high"] and text["windows"] == 4

    asked = ["generate", "--pruned", out, "--prompt", "Once", "--max-tokens", "8", "--json"]
    assert main(asked) == 0
    answer = json.loads(capfd.readouterr().out)["answer"]
    assert answer["dense"] != answer["pruned"]

    reader = Reader(Store())
    question = Question(prompt="Once", max_tokens=8)
    ready, *_steps, answered = reader.ask(pruned["run"], question)
    assert isinstance(ready, ReaderReady)
    assert answered.model_dump(exclude={"kind", "seconds", "dense_ids", "others"}) == {
        name: value for name, value in answer.items() if name != "seconds"
    }, "the run and its copy answer alike"
    for reply in reader.ask(pruned["run"], Question(prompt="Once", max_tokens=1000)):
        if isinstance(reply, Step) and reply.index == 3:
            reader.stop()
    reader.close()
    assert isinstance(reply, Answered)
    assert reply.stopped
    assert 4 <= reply.dense_tokens < 1000


@pytest.mark.slow
def test_kill_and_cancel_in_the_middle_of_the_blocks(store):
    launcher = Launcher(store)
    killed, cancelled = (launcher.submit(tiny(samples=2000, length=100)) for _ in range(2))
    until(lambda: pruning(store, killed), seconds=60)
    os.kill(worker_pid(store, killed), signal.SIGKILL)
    record = launcher.wait(killed)
    assert record.failure.reason == "worker_died"
    assert record.dense is not None, "what it had measured stays"

    until(lambda: pruning(store, cancelled), seconds=60, between=launcher.tick)
    store.request_cancel(cancelled)
    record = launcher.wait(cancelled)
    assert record.status == "cancelled"
    assert len(record.layers) < 14
    for run_id in (killed, cancelled):
        assert {path.name for path in store.folder(run_id).iterdir()} == {
            "job.json",
            "events.jsonl",
            "worker.log",
        }


@pytest.mark.slow
def test_a_disk_too_full_for_the_checkpoint(store):
    """No file of this worker may grow beyond 300 KB; the tiny model's weights have 430 KB."""
    limited = 'ulimit -f 600; exec "$0" -m apt_core.runs.worker "$1"'
    launcher = Launcher(store, ("/bin/sh", "-c", limited, sys.executable))
    record = launcher.wait(launcher.submit(tiny()))
    assert record.failure.reason == "disk_full", record.failure
    assert len(record.layers) == 7  # seen when the first block is written, not at the end
    assert not list(store.folder(record.id).glob("*checkpoint*"))
