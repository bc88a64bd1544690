"""A store of its own for every test, and launchers whose workers run a scripted pipeline."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from apt_core.jobs import make_job
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from tests.runs.helpers import fake_command


@pytest.fixture
def recipe():
    return make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "data")


@pytest.fixture
def launch(store):
    """launch("steady") -> a Launcher whose workers run that script; all workers end with the test."""

    def make(behaviour: str, grace: float = 10.0, of: Store | None = None) -> Launcher:
        return Launcher(of or store, fake_command(behaviour), grace=grace, interval=0.05)

    yield make
    with store.index.read() as rows:
        active = rows.active()
    for row in active:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(row.pid, signal.SIGKILL)
