"""Looks at an allocation before a run: kept by what they depend on, ended in time, nothing left behind."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

import apt_core
from apt_core.base.paths import ASSETS
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.events import Failed
from apt_core.measure.inside.questions import AllocationQuestion, Looking
from apt_core.measure.layer_shares import LayerShares
from apt_core.runs import allocations, inspector
from apt_core.runs.inspecting import Inspector, _place_of
from apt_core.runs.store import Store

SMALL = {"text": "wiki-sample", "samples": 4, "length": 64}


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    return Store(tmp_path / "data")


def a_question(model="tiny-random-llama", allocation="owl", text="wiki-sample"):
    job = apt_core.plan(
        str(model), "wanda", 0.7, {"allocation": allocation}, calibration=SMALL | {"text": str(text)}
    )
    return AllocationQuestion.of(job)


class Here(Inspector):
    """Answers in this process, and counts how often it had to work."""

    worked = 0

    def _answered(self, question, store):
        self.worked += 1
        for reply in inspector.replies(question.model_dump_json(), store, PRIVATE):
            if isinstance(reply, LayerShares) and (place := _place_of(question, store, PRIVATE)):
                place.keep(question, reply)
            yield reply


def test_the_answer_comes_with_steps_and_is_kept(store):
    asker = Here(store)
    *looking, found = asker.ask(a_question())
    assert isinstance(found, LayerShares) and found.allocation == "OWL"
    steps = [one for one in looking if isinstance(one, Looking) and one.detail == "a look at the dense model"]
    assert [one.done for one in steps] == list(range(steps[0].total)) and len(steps) == 4
    assert list(asker.ask(a_question())) == [found] == [asker.kept(a_question())] and asker.worked == 1
    assert not list(allocations.folder_of(store).glob("work-*"))


def test_another_model_text_or_option_is_another_look(store, tmp_path):
    model, text = tmp_path / "model", tmp_path / "text.txt"
    shutil.copytree(ASSETS / "models" / "tiny-random-llama", model)
    text.write_text("A text of somebody. " * 2000)
    asker, question = Here(store, policy=PRIVATE), a_question(model, text=text)
    *_, found = asker.ask(question)
    assert asker.kept(question) == found
    os.utime(text)
    assert asker.kept(question) == found, "the same words"
    assert asker.kept(a_question(model, {"name": "owl", "threshold": 3}, text)) is None
    text.write_text("Other words of somebody. " * 2000)
    assert asker.kept(question) is None
    text.write_text("A text of somebody. " * 2000)
    os.utime(model / "model.safetensors", (1, 1))
    assert asker.kept(question) is None


def test_what_may_change_unseen_is_not_kept(store):
    hub = a_question(text="hub:owner/texts")
    assert allocations.stamp_of(hub, store, PRIVATE) is None
    assert allocations.stamp_of(a_question("owner/not-here"), store, PRIVATE) is None
    assert allocations.stamp_of(a_question(str(ASSETS)), store, STRICT) is None
    free = a_question(allocation="atp", text="hub:owner/texts")
    assert allocations.stamp_of(free, store, PRIVATE), "the text is not read"


def test_what_a_killed_look_left_goes(store):
    left = allocations.folder_of(store) / "work-999999999" / "checkpoint.scratch-x"
    left.mkdir(parents=True)
    with allocations.work_folder(store) as folder:
        folder.mkdir()
        assert not left.exists()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("model", "said"), [("run:20200101-000000-abcd", "no run"), ("/not/here", "no folder")]
)
def test_a_model_that_is_not_there_is_a_sentence(store, model, said):
    *_, last = Here(store).ask(a_question(model, "atp"))
    assert isinstance(last, Failed) and said in last.message and last.reason != "unexpected"


def test_one_that_takes_too_long_is_ended_with_a_sentence(store):
    command = (sys.executable, "-m", "tests.runs.fake_inspector", "hanging")
    asker = Inspector(store, command, most_seconds=3.0)
    try:
        *_, last = asker.ask(a_question())
    finally:
        asker.close()
    assert (
        isinstance(last, Failed)
        and last.reason == "too_long"
        and "the longest that one may take" in last.message
    )


@pytest.mark.slow
def test_a_process_of_its_own_answers(store):
    asker = Inspector(store)
    try:
        *_, found = asker.ask(a_question())
    finally:
        asker.close()
    assert isinstance(found, LayerShares) and asker.kept(a_question()) == found
