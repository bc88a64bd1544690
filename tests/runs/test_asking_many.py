"""Several prompts one after another: rows, failures, stops, and others between two of them."""

from __future__ import annotations

import sys
import threading

import pytest

from apt_core import events as ev
from apt_core.measure.answer_set import AnswerSet
from apt_core.measure.questions import Answered, Question, Step
from apt_core.runs.asking_many import AskingMany
from apt_core.runs.reading import Reader
from tests.runs.fake_worker import finished, save

QUESTION = Question(prompt="-", max_tokens=3, seed=7)


class Scripted:
    """Answers each prompt with what it was given for it; counts what was asked, stopped and closed."""

    def __init__(self, **replies):
        self.replies, self.asked, self.stopped, self.closed = replies, [], 0, 0

    def __call__(self, question):
        self.asked.append(question)
        script = self.replies.get(question.prompt, [answer(question.prompt)])
        one = script.pop(0) if isinstance(script[0], list) else script
        return _One(self, [Step(index=0, dense="x", pruned="y"), *one])


class _One:
    def __init__(self, script, replies):
        self._script, self._replies = script, iter(replies)

    def __iter__(self):
        return self._replies

    def stop(self):
        self._script.stopped += 1

    def close(self):
        self._script.closed += 1


def answer(text):
    return Answered(
        dense=text, pruned=text.upper(), dense_tokens=3, pruned_tokens=2, first_divergence=0, seconds=1
    )


def failed(reason):
    return ev.Failed(reason=reason, message=f"it is {reason}")


def set_of(script, prompts):
    record = AnswerSet.of(["run-1"], ["Dense", "Pruned"], QUESTION, len(prompts))
    return AskingMany(script, QUESTION, prompts, record)


def test_every_prompt_is_asked_with_the_same_settings():
    script = Scripted()
    *_, last = set_of(script, ["a", "b"])
    assert [(one.prompt, one.seed, one.max_tokens) for one in script.asked] == [("a", 7, 3), ("b", 7, 3)]
    assert last.ended and last.failed is None and not last.done.stopped
    assert [row.prompt for row in last.done.rows] == ["a", "b"]
    dense, pruned = last.done.rows[1].answers
    assert (dense.model, dense.text, dense.cut) == ("Dense", "b", True)
    assert (pruned.model, pruned.text, pruned.cut, pruned.first_divergence) == ("Pruned", "B", False, 0)


def test_progress_says_which_prompt_and_how_far():
    told = [(now.place, now.tokens, len(now.done.rows)) for now in set_of(Scripted(), ["a", "b"])]
    assert told[:4] == [(0, 1, 0), (0, 0, 1), (1, 1, 1), (1, 0, 2)]


def test_a_prompt_that_cannot_be_answered_is_a_row_and_the_rest_goes_on():
    *_, last = set_of(Scripted(b=[failed("bad_text")]), ["a", "b", "c"])
    assert [row.error for row in last.done.rows] == ["", "it is bad_text", ""] and not last.done.stopped


def test_a_failure_of_the_reader_ends_the_set_with_what_there_is():
    *_, last = set_of(Scripted(b=[failed("worker_died")]), ["a", "b", "c"])
    assert last.failed.reason == "worker_died" and last.done.stopped
    assert [row.prompt for row in last.done.rows] == ["a"] and last.done.asked == 3


def test_a_busy_reader_is_asked_again_but_not_for_ever():
    script = Scripted(b=[[failed("busy")], [failed("busy")], [answer("late")]])
    *_, last = set_of(script, ["a", "b"])
    assert last.done.rows[1].answers[0].text == "late" and len(script.asked) == 4
    *_, last = set_of(Scripted(a=[failed("busy")]), ["a"])
    assert last.failed.reason == "busy"


def test_stop_asks_no_further_prompt():
    script = Scripted()
    asking = set_of(script, ["a", "b", "c"])
    for now in asking:
        if now.place == 1:
            asking.stop()
    assert [one.prompt for one in script.asked] == ["a", "b"] and script.stopped >= 1
    assert now.ended and now.done.stopped and len(now.done.rows) == 2


def test_stop_before_the_first_word():
    script = Scripted()
    asking = set_of(script, ["a", "b"])
    asking.stop()
    [only] = asking
    assert only.ended and only.done.stopped and not only.done.rows and not script.asked


def test_closing_it_closes_the_answer():
    script = Scripted()
    asking = set_of(script, ["a", "b"])
    next(asking)
    asking.close()
    assert script.closed == 1


@pytest.fixture
def run_id(store, recipe):
    run_id = store.create(recipe)
    store.append(run_id, finished(save(store.folder(run_id))))
    return run_id


def test_others_get_their_turn_between_two_prompts(store, run_id, tmp_path, monkeypatch):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    reader = Reader(store, (sys.executable, "-m", "tests.runs.fake_reader", "plain"))
    try:
        asking = set_of(lambda question: reader.ask(run_id, question), ["one two three"] * 20)
        answered_at = []

        def somebody_else():
            *_, last = reader.ask(run_id, QUESTION)
            answered_at.append(isinstance(last, Answered) and len(rows))

        rows, other = [], threading.Thread(target=somebody_else)
        for now in asking:
            rows[:] = now.done.rows
            if len(rows) == 1 and other.ident is None:
                other.start()
        other.join(timeout=20)
        assert len(rows) == 20 and answered_at and 0 < answered_at[0] < 20
    finally:
        reader.close()
