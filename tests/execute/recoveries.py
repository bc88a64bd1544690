"""A store with a pruned tiny model in it, and recoveries of that, done in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

import apt_core
from apt_core.base.paths import data_dir
from apt_core.base.policy import HostPolicy
from apt_core.events.records import RunRecord
from apt_core.execute import Context, run
from apt_core.jobs import Job, make_job
from apt_core.runs.store import Store
from apt_core.runs.worker import main as work

WINDOWS = {"text": "wiki-sample", "samples": 2, "length": 64}
TRAINING = {"text": "wiki-sample", "samples": 40, "length": 32, "batch": 2, "held_out": 4}


def done(store: Store, job: Job) -> RunRecord:
    """The record of a job that is done in this process, by the worker."""
    run_id = store.create(job)
    with store.index.write() as rows:
        rows.update(run_id, status="running", pid=os.getpid())
    work(run_id)
    with store.index.write() as rows:
        rows.update(run_id, status=store.events_since(run_id)[-1].event.kind)
    return store.get(run_id)


def pruned(store: Store, pattern: str = "2:4", model: str = "tiny-random-llama") -> RunRecord:
    calibration = {"text": "wiki-sample", "samples": 4, "length": 64}
    return done(store, apt_core.plan(model, "wanda", pattern, calibration=calibration, evaluation=WINDOWS))


def recovery(parent: str, method: Any = "spp", steps: int = 6, **more: Any) -> Job:
    fields = {"training": TRAINING, "evaluation": WINDOWS} | more
    return make_job(
        "recover", model={"id": f"run:{parent}"}, method=method, optimiser_steps=steps, device="cpu", **fields
    )


def here(monkeypatch, tmp_path: Path) -> Store:
    """A store of one test's own, whose worker may run in this process."""
    monkeypatch.setenv("APT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest keeps its own
    monkeypatch.setattr("os.nice", lambda _: 0)
    assert data_dir() == tmp_path / "data"
    return Store()


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "model.safetensors")


def events(store: Store, job: Job, folder: Path) -> Any:
    """The events of a job as a generator, to be stopped at any of them."""
    return run(job, Context.of(job, folder, HostPolicy(), store))
