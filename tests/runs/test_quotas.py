"""Limits come from variables, a file and the defaults of a public host; one press repeated does not fill the queue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import apt_core
from apt_core.base.errors import BadInput
from apt_core.base.policy import LOCAL, PRIVATE, STRICT
from apt_core.jobs.space import Space
from apt_core.runs.launcher import Launcher
from apt_core.runs.owners import Visitor
from apt_core.runs.quotas import FILE, Quotas, all_limits, table
from apt_core.runs.store import Store
from apt_core.ui.acting import acting_for
from apt_core.ui.studio import Studio

JOB = apt_core.plan("tiny-random-llama", "magnitude", 0.5)
ANN = Visitor(names=("v:ann",), address="192.0.2.1")
LIMITS = Path(__file__).parents[2] / "docs" / "reference" / "limits.md"


def test_at_home_nothing_is_limited():
    assert set(Quotas.of(PRIVATE, {}).model_dump().values()) == {None}


def test_a_public_host_has_every_limit():
    assert Quotas.of(STRICT, {}).model_dump() == {one.name: one.public for one in all_limits()}
    assert Quotas.of(STRICT, {}).waiting == 24 and Quotas.of(STRICT, {}).run_minutes == 60


@pytest.mark.parametrize("about", all_limits(), ids=lambda about: about.name)
def test_every_limit_has_its_variable(about):
    for policy in (PRIVATE, STRICT):
        assert getattr(Quotas.of(policy, {about.variable: "3"}), about.name) == 3
        assert getattr(Quotas.of(policy, {about.variable: "off"}), about.name) is None
    for wrong in (
        "0",
        "-1",
        "many",
        "nan",
        "inf",
        "1e10",
        "9" * 30,
        "٣" * 10,
        *(["1.5"] if about.whole else []),
    ):
        with pytest.raises(BadInput, match=about.variable):
            Quotas.of(STRICT, {about.variable: wrong})


def test_a_variable_goes_before_the_file_and_the_file_before_the_default(tmp_path):
    (tmp_path / FILE).write_text(json.dumps({"waiting": 5, "model_gb": 0.5, "uploads": "off"}))
    found = Quotas.of(STRICT, {"APT_MAX_WAITING": "7"}, tmp_path)
    assert (found.waiting, found.model_gb, found.uploads, found.questions) == (7, 0.5, None, 24)
    assert Quotas.of(PRIVATE, {}, tmp_path).waiting == 5


@pytest.mark.parametrize("text", ["", "[]", "7", '{"wating": 3}', '{"waiting": "many"}', "[" * 100_000, "{"])
def test_a_file_that_is_wrong_is_one_sentence(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(BadInput, match=FILE) as refused:
        Quotas.of(STRICT, {}, tmp_path)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500


def test_the_documentation_says_what_holds():
    assert table() in LIMITS.read_text("utf-8"), "run python -m benchmarks.docs"


@pytest.fixture
def studio(tmp_path, monkeypatch):
    store = Store(tmp_path)
    launcher = Launcher(store)
    monkeypatch.setattr(launcher, "tick", lambda: None)  # nothing starts
    return Studio(store, launcher, None, {}, STRICT, quotas=Quotas(waiting=3))


def test_what_is_too_much_is_refused_whole(studio):
    with acting_for(ANN):
        studio.submit([JOB])
        with pytest.raises(BadInput, match=r"One run waits already, .*; 2 more fit"):
            studio.submit([JOB] * 3)
        assert len(studio.store.live()) == 1, "a race is queued whole or not at all"
        studio.submit([JOB] * 2)
        for _ in range(300):
            with pytest.raises(BadInput, match="no more fit"):
                studio.submit([JOB])
    assert [run.owner for run in studio.store.live()] == ["v:ann"] * 3


def test_sweeps_count_as_well(studio):
    space = Space(base=JOB, methods=("magnitude", "wanda"), patterns=("0.3", "0.5"))
    with acting_for(ANN), pytest.raises(BadInput, match="3 more fit"):
        studio.sweep(space)
    assert studio.store.live() == []


def test_at_home_the_queue_has_no_end_but_a_stated_one(studio):
    studio.policy = PRIVATE
    studio.submit([JOB] * 3)
    assert studio.store.list()[0].owner == LOCAL
    with pytest.raises(BadInput, match="no more fit"):
        studio.submit([JOB])
