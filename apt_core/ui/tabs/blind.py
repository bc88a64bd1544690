"""Blind reading: two answers whose order is drawn at random, a vote, then whose they were and the votes so far."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.runs.votes import Choice
from apt_core.ui.exchange import Exchange
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views import answers
from apt_core.ui.views.blind import HONEST, choice_sentence, revealed, tally_block

BALLOTS = {"a": "A is better", "b": "B is better", "tie": "A tie", "bad": "Both bad"}
_VISITOR = re.compile(r"[0-9a-f]{32}")


class Blind(NamedTuple):
    toggle: gr.Checkbox
    row: gr.Row
    buttons: dict[str, gr.Button]
    tally: gr.HTML
    ballot: gr.State  # an Exchange that waits for a vote, on the server alone
    visitor: gr.BrowserState  # a random number by which the votes of this browser are found again

    @property
    def outputs(self) -> list[Any]:
        return [self.row, self.tally, self.ballot]


def lay_out_toggle() -> gr.Checkbox:
    return gr.Checkbox(
        False,
        label=f"Blind: hide which model wrote which, and vote. {HONEST}",
        elem_id="ask-blind",
        container=False,
    )


def lay_out(toggle: gr.Checkbox) -> Blind:
    """The vote, below the answers."""
    with gr.Row(elem_id="ballot", visible=False) as row:
        buttons = {name: gr.Button(label, elem_id=f"vote-{name}") for name, label in BALLOTS.items()}
    visitor = gr.BrowserState("", storage_key="apt-studio-visitor", secret="only-a-random-number")
    return Blind(toggle, row, buttons, html("tally"), gr.State(None), visitor)


def two_of(others: Sequence[str]) -> bool:
    """Whether the dense model is one of the two that are compared blindly; raises BadInput for more than two."""
    if len(others) > 1:
        raise BadInput("Blind reading compares two models; take all but one of the added models away.")
    return not others


def drawn() -> bool:
    """Whether this question shows its two answers in the other order."""
    return secrets.randbelow(2) == 1


def waiting(blind: Blind, exchange: Exchange | None) -> dict[Any, Any]:
    """The updates that ask for a vote on this exchange, or (None) for none."""
    return {blind.row: gr.update(visible=exchange is not None), blind.tally: "", blind.ballot: exchange}


def vote(studio: Studio, exchange: Exchange, ballot: str, visitor: Any) -> tuple[str, str, str, str]:
    """(columns with their names, one line, the votes so far, the visitor's number)."""
    known = visitor if isinstance(visitor, str) and _VISITOR.fullmatch(visitor) else secrets.token_hex(16)
    choice, pair = _choice(ballot, exchange.flipped), models_of(studio, exchange)
    said = choice_sentence(choice, exchange.heads)
    try:
        studio.votes.add(known, *pair, choice)
    except PruneError as error:
        said = f"{said} {error}"
    shown = answers.swapped(exchange.answered) if exchange.flipped else exchange.answered
    columns = answers.compared(shown, revealed(exchange.heads, exchange.flipped), exchange.question)
    return str(columns), said, str(tally_block(studio.votes.tally(known, *pair), exchange.heads)), known


def _choice(ballot: str, flipped: bool) -> Choice:
    if ballot == "tie":
        return "tie"
    if ballot == "bad":
        return "bad"
    return "first" if (ballot == "a") != flipped else "second"


def models_of(studio: Studio, exchange: Exchange) -> tuple[str, str]:
    """The two models as votes name them."""
    runs = [f"run:{run_id}" for run_id in exchange.runs]
    if not exchange.dense:
        return runs[0], runs[1]
    model = studio.record(exchange.runs[0]).job.model
    return f"dense:{model.id}{f'@{model.revision}' if model.revision else ''}", runs[0]
