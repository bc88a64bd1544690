"""Several prompts at once on the page: progress, table, files, bounds."""

from __future__ import annotations

import json
import threading

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, some_events

from apt_core import events as ev
from apt_core.base.paths import ASSETS
from apt_core.base.policy import HostPolicy
from apt_core.events.asking import OtherAnswer
from apt_core.measure.answer_set import AnswerSet
from apt_core.measure.questions import Answered, Step
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import prompt_set, read

RUN, OTHER = "20261124-100000-abcd", "20261124-100001-abcd"
VALUES = ("of the box above", 8, 0.7, 0.95, 0, True)
ANSWERED = Answered(
    dense="a <b>", pruned="c", dense_tokens=8, pruned_tokens=1, first_divergence=0, seconds=1.0
)


@pytest.fixture
def studio():
    store = FakeStore(ASSETS / "models" / "tiny-random-llama")
    store.put(RUN, some_events())
    store.put(OTHER, some_events(), a_recipe(method="wanda"))
    return Studio(store, FakeLauncher(store), FakeReader(Step(index=0, dense="a", pruned="c"), ANSWERED), {})


@pytest.fixture(scope="module")
def several():
    with gr.Blocks():
        return read.lay_out().several


def ask(several, studio, text="Why?\nHow?", stop=None, others=(), values=VALUES):
    return list(prompt_set.converse(several, studio, RUN, text, values, stop or threading.Event(), others))


def file_of(studio, html, ending):
    address = next(
        part.split('"')[0] for part in html.split('href="')[1:] if part.split('"')[0].endswith(ending)
    )
    return studio.handouts.get(address.split("/")[2])


def test_all_prompts_are_answered_in_a_table_with_its_files(several, studio):
    updates = ask(several, studio)
    assert updates[0][several.stop]["visible"] and "Asking 2 prompts" in updates[0][several.state]
    assert updates[-1][several.ask]["interactive"] and not updates[-1][several.stop]["visible"]
    html = next(update[several.table] for update in reversed(updates) if several.table in update)
    assert html.count("<tr") == 3 and "a &lt;b&gt;" in html and "<b>" not in html
    assert "cut at the limit" in html and "no benchmark" in html and "Why?" in html
    record = AnswerSet.model_validate(json.loads(file_of(studio, html, ".json").text))
    assert [row.prompt for row in record.rows] == ["Why?", "How?"] and record.models == ("Dense", "Pruned")
    assert file_of(studio, html, ".csv").name == f"answers-{RUN}.csv"
    assert file_of(studio, html, ".md").text.startswith("# Answers")
    assert "2 of 2 prompts answered" in str(updates[-2][several.state])
    assert {question.prompt for _, question, _ in studio.reader.asked} == {"Why?", "How?"}


def test_further_runs_are_columns_of_their_own(several, studio):
    studio.reader.replies = (
        ANSWERED.model_copy(update={"others": (OtherAnswer(text="w", tokens=1, first_divergence=0),)}),
    )
    html = next(
        u[several.table] for u in reversed(ask(several, studio, others=(OTHER,))) if several.table in u
    )
    assert '<th scope="col">Wanda' in html and '<th scope="col">APT' in html


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "There is no prompt"),
        ("x" * 3000, "3,000 characters; use at most 2,000"),
        ("a\n" * 60, "at most 50"),
        ("x\n" * 5_000_000, "at most 50"),
    ],
)
def test_bad_sets_are_one_sentence_and_ask_nobody(several, studio, text, sentence):
    [said] = ask(several, studio, text)
    assert sentence in said[several.state] and not studio.reader.asked


def test_bad_settings_and_chosen_runs_are_one_sentence(several, studio):
    [said] = ask(several, studio, values=("", 0, 0.7, 0.95, 0, True))
    assert "max_tokens" in said[several.state].lower()
    [said] = ask(several, studio, others=("../../etc",))
    assert "There is no run" in said[several.state]
    [said] = ask(several, studio, others=(RUN,))
    assert "named twice" in said[several.state]


def test_the_bounds_and_rights_of_a_public_page(several, studio):
    studio.policy = HostPolicy(public=True)
    [said] = ask(several, studio, "a\n" * 9)
    assert "at most 8" in said[several.state]
    studio.store.with_token = {OTHER}
    [said] = ask(several, studio, others=(OTHER,))
    assert "only for accounts" in said[several.state]
    studio.store.with_token = {RUN}
    [said] = ask(several, studio)
    assert "no pruned model to ask" in said[several.state] and not studio.reader.asked
    assert "At most 8 prompts" in prompt_set.show(several, True, studio.policy)[several.state]


def test_a_reader_that_dies_leaves_the_rows_there_are(several, studio):
    studio.reader.replies = (ev.Failed(reason="worker_died", message="it is gone"),)
    updates = ask(several, studio)
    assert "It is gone." in updates[-2][several.state] and "bad" in updates[-2][several.state]
    assert updates[-1][several.ask]["interactive"]


def test_stop_keeps_what_there_is(several, studio):
    stop = threading.Event()
    stop.set()
    updates = ask(several, studio, "a\nb\nc", stop=stop)
    assert "Stopped after" in updates[-2][several.state] or "0 of 3" in updates[-2][several.state]
    assert len(studio.reader.asked) < 3


def test_the_bundled_prompts_are_filled_in_by_a_script():
    private, public = (
        json.loads(prompt_set.fill_in(policy).removeprefix("() => ")).splitlines()
        for policy in (HostPolicy(), HostPolicy(public=True))
    )
    assert private[1] == "Why is the sky blue?" and (len(private), len(public)) == (12, 8)


def test_opening_a_run_never_touches_typed_prompts(studio):
    with gr.Blocks():
        reading = read.lay_out()
    shown = read.show(reading, studio, studio.record(RUN))
    assert set(shown) <= set(reading.outputs)
    assert reading.prompt not in reading.outputs and reading.several.prompts not in reading.outputs
