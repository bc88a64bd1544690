"""One press repeated does not fill everybody's queue."""

from __future__ import annotations

import pytest

import apt_core
from apt_core.base.errors import BadInput
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.jobs.space import Space
from apt_core.runs.launcher import Launcher
from apt_core.runs.quotas import Quotas
from apt_core.runs.store import Store
from apt_core.ui.studio import Studio

JOB = apt_core.plan("tiny-random-llama", "magnitude", 0.5)


def test_limits_come_from_the_environment():
    assert Quotas.of(PRIVATE, {}).waiting is None and Quotas.of(STRICT, {}).waiting == 24
    assert Quotas.of(STRICT, {"APT_MAX_WAITING": "3"}).waiting == 3
    for wrong in ("0", "-1", "1.5", "many", "9" * 30, "٣" * 10):
        with pytest.raises(BadInput, match="APT_MAX_WAITING"):
            Quotas.of(STRICT, {"APT_MAX_WAITING": wrong})


@pytest.fixture
def studio(tmp_path, monkeypatch):
    store = Store(tmp_path)
    launcher = Launcher(store)
    monkeypatch.setattr(launcher, "tick", lambda: None)  # nothing starts
    return Studio(store, launcher, None, {}, STRICT, quotas=Quotas(waiting=3))


def test_what_is_too_much_is_refused_whole(studio):
    studio.submit([JOB])
    with pytest.raises(BadInput, match=r"One run waits already, .*; 2 more fit"):
        studio.submit([JOB] * 3)
    assert len(studio.store.live()) == 1, "a race is queued whole or not at all"
    studio.submit([JOB] * 2)
    for _ in range(300):
        with pytest.raises(BadInput, match="no more fit"):
            studio.submit([JOB])
    assert len(studio.store.live()) == 3


def test_sweeps_count_as_well(studio):
    space = Space(base=JOB, methods=("magnitude", "wanda"), patterns=("0.3", "0.5"))
    with pytest.raises(BadInput, match="3 more fit"):
        studio.sweep(space)
    assert studio.store.live() == []
