"""Blind reading: nothing that reaches the browser says whose an answer is before there is a vote."""

from __future__ import annotations

import re
import threading

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_recipe, some_events

from apt_core.base.errors import DiskFull
from apt_core.base.paths import ASSETS
from apt_core.measure.questions import Answered, ReaderReady, Step
from apt_core.runs.votes import Tally, Votes
from apt_core.ui.exchange import Exchange
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import blind, read
from apt_core.ui.views.blind import tally_sentence

RUN, OTHER = "20261124-100000-abcd", "20261124-100001-abcd"
VALUES = ("Why?", 8, 0.7, 0.95, 0, True)
LONG, SHORT = "one two three", "one <b>four"


@pytest.fixture
def studio(tmp_path):
    store = FakeStore(ASSETS / "models" / "tiny-random-llama")
    store.put(RUN, some_events())
    store.put(OTHER, some_events(), a_recipe(method="wanda"))
    return Studio(store, FakeLauncher(store), FakeReader(), {}, votes=Votes(tmp_path))


@pytest.fixture(scope="module")
def reading():
    with gr.Blocks():
        return read.lay_out()


def replies(dense, pruned):
    return (
        ReaderReady(seconds=1),
        Step(index=0, dense="one ", pruned="one ", dense_id=7),
        Step(index=1, dense=dense[4:], pruned=pruned[4:], dense_id=8),
        Answered(
            dense=dense,
            pruned=pruned,
            dense_tokens=len(dense.split()),
            pruned_tokens=len(pruned.split()),
            first_divergence=1,
            seconds=1.0,
            dense_ids=(7, 8),
        ),
    )


def ask(reading, studio, monkeypatch, flipped, others=(), said=(LONG, SHORT)):
    """All updates of a blind question; the models say `said`, the dense one first."""
    monkeypatch.setattr(blind, "drawn", lambda: flipped)
    studio.reader.replies = replies(*said)
    return list(read.converse(reading, studio, RUN, VALUES, threading.Event(), others, hide=True))


def browser_sees(updates):
    """What leaves the server: everything but the states that stay on it."""
    return [
        {str(component): value for component, value in update.items() if not isinstance(component, gr.State)}
        for update in updates
    ]


def words_of(html):
    """Without marks and the sign where the answers part."""
    return re.sub(r"<[^>]+>", "", html.replace(" (first difference) ", ""))


def ballot_of(reading, updates):
    return next(
        update[reading.blind.ballot] for update in reversed(updates) if update.get(reading.blind.ballot)
    )


def test_the_browser_sees_the_same_whichever_model_is_which(reading, studio, monkeypatch):
    plain = ask(reading, studio, monkeypatch, False, said=(LONG, SHORT))
    flipped = ask(reading, studio, monkeypatch, True, said=(SHORT, LONG))
    assert browser_sees(plain) == browser_sees(flipped)
    text = str(browser_sees(plain)).replace("Loading both models", "")
    for word in ("dense", "Dense", "pruned", "Pruned", "APT", "csv", RUN):
        assert word not in text, word
    assert "Answer A" in text and "Answer B" in text and LONG in words_of(text)


def test_the_states_are_no_part_of_the_page(reading):
    for state in (reading.exchange, reading.blind.ballot):
        assert isinstance(state, gr.State) and not isinstance(state, gr.BrowserState) and state.stateful


def test_neither_tokens_nor_files_are_offered_before_the_vote(reading, studio, monkeypatch):
    updates = ask(reading, studio, monkeypatch, False)
    shown = [update[reading.gap.toggle]["visible"] for update in updates if reading.gap.toggle in update]
    assert not any(shown) and not [update for update in updates if update.get(reading.exchange)]
    assert not studio.handouts._files


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(
    ("ballot", "plain", "turned"),
    [("a", "first", "second"), ("b", "second", "first"), ("tie", "ties", "ties"), ("bad", "bad", "bad")],
)
def test_a_vote_reveals_and_is_counted(reading, studio, monkeypatch, flipped, ballot, plain, turned):
    exchange = ballot_of(reading, ask(reading, studio, monkeypatch, flipped))
    shown = read.reveal(reading, studio, ballot, exchange, "")
    columns = shown[reading.columns]
    assert ("A: Pruned" in columns and "B: Dense" in columns) == flipped
    first, second = map(words_of, columns.split("<section")[1:])
    assert (LONG in first) != flipped and (LONG in second) == flipped
    visitor = shown[reading.blind.visitor]
    wanted = turned if flipped else plain
    assert len(visitor) == 32
    assert studio.votes.tally(visitor, "dense:tiny-random-llama", f"run:{RUN}") == Tally(**{wanted: 1})
    assert "not a benchmark" in shown[reading.blind.tally] and shown[reading.gap.toggle]["visible"]
    preferred = {"first": "Dense", "second": "Pruned"}.get(wanted)
    assert (f"You preferred: {preferred}." if preferred else "You") in shown[reading.state]


def test_a_vote_counts_once(reading, studio, monkeypatch):
    exchange = ballot_of(reading, ask(reading, studio, monkeypatch, False))
    shown = read.reveal(reading, studio, "a", exchange, "ab" * 16)
    assert shown[reading.blind.ballot] is None and shown[reading.blind.visitor] == "ab" * 16
    read.reveal(reading, studio, "a", shown[reading.blind.ballot], "ab" * 16)
    assert studio.votes.tally("ab" * 16, "dense:tiny-random-llama", f"run:{RUN}").votes == 1


@pytest.mark.parametrize("visitor", [None, 3, "", "../../etc", "AB" * 16, "x" * 10_000])
def test_a_visitor_without_a_number_of_ours_gets_one(reading, studio, monkeypatch, visitor):
    exchange = ballot_of(reading, ask(reading, studio, monkeypatch, False))
    known = read.reveal(reading, studio, "a", exchange, visitor)[reading.blind.visitor]
    assert known != visitor and len(known) == 32


def test_two_pruned_models_can_be_read_blindly(reading, studio, monkeypatch):
    updates = ask(reading, studio, monkeypatch, True, others=(OTHER,))
    assert studio.reader.asked[-1] == (RUN, studio.reader.asked[-1][1], (OTHER,), "alone")
    shown = read.reveal(reading, studio, "a", ballot_of(reading, updates), "cd" * 16)
    assert "A: Wanda" in shown[reading.columns] and "B: APT" in shown[reading.columns]
    assert studio.votes.tally("cd" * 16, f"run:{RUN}", f"run:{OTHER}") == Tally(second=1)
    assert not shown[reading.gap.toggle]["visible"], "there is no dense answer"


def test_more_than_two_cannot(reading, studio, monkeypatch):
    [said] = ask(reading, studio, monkeypatch, False, others=(OTHER, OTHER))
    assert "compares two models" in said[reading.state]


def test_another_question_takes_the_ballot_away(reading, studio, monkeypatch):
    ask(reading, studio, monkeypatch, False)
    first, *_ = read.converse(reading, studio, RUN, VALUES, threading.Event())
    assert first[reading.blind.ballot] is None and first[reading.blind.row]["visible"] is False


def test_the_order_is_drawn_anew_for_every_question():
    assert {blind.drawn() for _ in range(200)} == {False, True}


def test_a_full_disk_costs_the_vote_and_not_the_answer(reading, studio, monkeypatch):
    exchange = ballot_of(reading, ask(reading, studio, monkeypatch, False))

    def full(*_):
        raise DiskFull("The disk is full, so your vote is not counted; free some space.")

    monkeypatch.setattr(studio.votes, "add", full)
    shown = read.reveal(reading, studio, "a", exchange, "")
    assert "not counted" in shown[reading.state] and "A: Dense" in shown[reading.columns]


def test_the_votes_in_words():
    few = tally_sentence(Tally(first=3, second=1, ties=2, bad=1), "Dense", "Pruned")
    assert "Dense better 3, Pruned better 1, ties 2, both bad 1" in few
    assert "Of the 4 that decide, Dense won 75% (95% interval by Wilson from 30.1% to 95.4%)" in few
    assert few.endswith("no difference that these votes can show.")
    many = tally_sentence(Tally(first=30, second=5), "Dense", "Pruned")
    assert "show" not in many
    assert "no share to give" in tally_sentence(Tally(ties=2), "Dense", "Pruned")


def test_the_exchange_of_a_vote_has_the_true_order(reading, studio, monkeypatch):
    exchange = ballot_of(reading, ask(reading, studio, monkeypatch, True))
    assert isinstance(exchange, Exchange) and exchange.flipped and exchange.answered.dense == LONG
