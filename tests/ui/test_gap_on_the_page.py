"""The probability gap on the page: marked tokens, their legend, table and CSV."""

from __future__ import annotations

import csv
import io

import gradio as gr
import pytest
from ui_helpers import FakeLauncher, FakeReader, FakeStore, some_events

from apt_core import events as ev
from apt_core.base.paths import ASSETS
from apt_core.base.policy import HostPolicy
from apt_core.measure.questions import Answered, Question, Scored, Scoring, TokenGap
from apt_core.ui.exchange import Exchange
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import gap
from apt_core.ui.views import answers
from apt_core.ui.views.gaps import band, gaps_block, summary

RUN = "20261124-100000-abcd"
SCORED = Scored(
    tokens=(
        TokenGap(text="The ", dense=0.9, pruned=(0.85, 0.1), kl=(0.01, 2.0)),
        TokenGap(text="<b>", dense=0.9, pruned=(0.2, 0.95), kl=(1.2, 0.1)),
        TokenGap(text="", dense=0.5, pruned=(0.5, 0.5), kl=(0.0, 0.0)),
        TokenGap(text="\n\u00e9", dense=0.1, pruned=(0.5, 0.1), kl=(0.4, 0.0)),
    ),
    seconds=0.1,
)
ONE = SCORED.model_copy(
    update={
        "tokens": tuple(
            token.model_copy(update={"pruned": token.pruned[:1], "kl": token.kl[:1]})
            for token in SCORED.tokens
        )
    }
)
ANSWERED = Answered(
    dense="The <b>",
    pruned="x",
    dense_tokens=4,
    pruned_tokens=1,
    first_divergence=0,
    seconds=1.0,
    dense_ids=(1, 2, 3, 4),
)
EXCHANGE = Exchange(Question(prompt="Why?"), ANSWERED, (RUN,), answers.PAIR)


@pytest.fixture
def studio():
    store = FakeStore(ASSETS / "models" / "tiny-random-llama")
    store.put(RUN, some_events())
    return Studio(store, FakeLauncher(store), FakeReader(Scoring(done=1, total=4), ONE), {})


@pytest.fixture(scope="module")
def pane():
    with gr.Blocks():
        return gap.lay_out()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, ""),
        (0.09, ""),
        (-0.09, ""),
        (0.1, "less slight"),
        (0.3, "less clear"),
        (0.99, "less strong"),
        (-0.65, "more strong"),
    ],
)
def test_the_bands_of_a_gap(value, said):
    assert band(value) == said


def test_tokens_are_marked_escaped_and_explained():
    html = str(gaps_block(ONE, ["Pruned <x>"], "studio/answers/key/x.csv"))
    assert "<b>" not in html and "Pruned &lt;x&gt;" in html
    assert (
        '<span class="token-gap less strong" title="dense 90%, pruned 20%, KL 1.20 nats">&lt;b&gt;</span>'
        in html
    )
    assert 'class="token-gap more clear" title="dense 10%, pruned 50%' in html and ">The <span" in html
    assert html.count("<tr") == 1 + len(SCORED.tokens) and "(part of the next)" in html and "⏎é" in html
    assert 'href="studio/answers/key/x.csv" download' in html and html.count("or more</span>") == 6


def test_the_summary_counts_what_was_lost():
    assert (
        summary(SCORED, 0)
        == "Mean KL 0.402 nats a token over 4 tokens; 1 of them lose 30% or more of probability."
    )


def test_two_pruned_models_have_a_text_each_and_share_the_table():
    html = str(gaps_block(SCORED, ["A1", "B2"], "x"))
    assert html.count('class="said"') == 2 and "KL, A1" in html and "KL, B2" in html


def test_a_tick_scores_the_answer_and_offers_the_csv(pane, studio):
    *_, last = gap.score(pane, studio, EXCHANGE)
    html = last[pane.block]
    assert "Mean KL 0.402" in html
    address = html.split('href="')[1].split('"')[0]
    file = studio.handouts.get(address.split("/")[2])
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert file.name == f"token-probabilities-{RUN}.csv" and rows[1]["token"] == "<b>"
    assert float(rows[1]["kl Pruned"]) == 1.2 and float(rows[3]["probability dense"]) == 0.1


def test_a_failure_is_a_sentence(pane, studio):
    studio.reader.replies = (ev.Failed(reason="busy", message="somebody else is asking"),)
    *_, last = gap.score(pane, studio, EXCHANGE)
    assert "Somebody else is asking." in last[pane.block] and "bad" in last[pane.block]


def test_the_weights_of_others_are_not_scored_on_a_public_page(pane, studio):
    studio.policy, studio.store.with_token = HostPolicy(public=True), {RUN}
    [said] = gap.score(pane, studio, EXCHANGE)
    assert "only for accounts" in said[pane.block] and not studio.reader.asked


def test_it_is_offered_only_where_there_is_an_answer(pane):
    assert gap.offered(pane, EXCHANGE)[pane.toggle]["visible"]
    empty = EXCHANGE._replace(answered=ANSWERED.model_copy(update={"dense_ids": ()}))
    for nothing in (None, empty):
        assert not gap.offered(pane, nothing)[pane.toggle]["visible"]
