"""A run's answers to the standard question: both models', as a duel of the two would have them."""

from __future__ import annotations

import pytest
import torch
from recoveries import done, here, pruned, recovery
from transformers import AutoModelForCausalLM, AutoTokenizer

import apt_core
from apt_core.base.errors import BadText
from apt_core.base.paths import ASSETS
from apt_core.events import Answers, Finished, Warned
from apt_core.events.asking import STANDARD_QUESTION
from apt_core.events.records import RunRecord, fold, summary
from apt_core.measure import generate

TINY = ASSETS / "models" / "tiny-llama"
READ = {
    "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
    "evaluation": {"text": "wiki-sample", "samples": 2, "length": 64},
}


def ran(folder, pattern="2:4", method="magnitude", **more):
    return list(apt_core.run(apt_core.plan("tiny-llama", method, pattern, **READ, **more), folder))


def answers_of(found):
    return [event for event in found if isinstance(event, Answers)]


def model(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def duel(dense, made):
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    return list(generate.duel(dense, made, tokenizer, STANDARD_QUESTION))[-1]


def same(one, other):
    return one.model_copy(update={"seconds": 0.0}) == other.model_copy(update={"seconds": 0.0})


@pytest.mark.parametrize(("method", "pattern"), [("magnitude", "2:4"), ("magnitude", "0.9"), ("depth", 0.5)])
def test_both_answers_are_those_of_a_duel_of_the_two_models(tmp_path, method, pattern):
    found = ran(tmp_path, pattern, method, dtype="float32")
    (answers,) = answers_of(found)
    assert answers.question == STANDARD_QUESTION and answers.answered.dense
    assert same(answers.answered, duel(model(TINY), model(tmp_path / "checkpoint")))
    finished = found[-1]
    assert isinstance(finished, Finished) and finished.seconds["answers"] > 0


def test_a_run_without_answers_is_asked_for_by_a_field(tmp_path):
    found = ran(tmp_path, answers=False)
    assert not answers_of(found) and "answers" not in found[-1].seconds


def test_the_record_and_its_json_hold_the_answers(tmp_path):
    job = apt_core.plan("tiny-llama", "magnitude", "2:4", **READ)
    log = [
        apt_core.events.Stamped(seq=seq, at=0.0, event=event)
        for seq, event in enumerate(apt_core.run(job, tmp_path))
    ]
    record = fold(RunRecord(id="20261204-100000-abcd", job=job), log)
    assert record.answers and record.questions == (record.answers,)
    assert summary(record)["answers"]["answered"]["dense"] == record.answers.answered.dense


def test_a_question_that_cannot_be_asked_costs_a_warning_and_not_the_run(tmp_path, monkeypatch):
    def too_long(*_):
        raise BadText("The prompt has 40 tokens; this model reads at most 32.")

    monkeypatch.setattr(generate, "check_fits", too_long)
    found = ran(tmp_path)
    assert not answers_of(found) and isinstance(found[-1], Finished)
    (said,) = (event.message for event in found if isinstance(event, Warned) and "question" in event.message)
    assert "reads at most 32" in said


def test_a_recovery_answers_with_what_it_recovered(monkeypatch, tmp_path):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    store = here(monkeypatch, tmp_path)
    parent = pruned(store, model="tiny-llama")
    assert parent.answers
    record = done(store, recovery(parent.id))
    assert record.answers
    made = model(store.folder(record.id) / "checkpoint")
    assert same(record.answers.answered, duel(model(TINY), made))
