"""The probability gap: the dense answer run through the pruned models, when somebody asks for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import PruneError
from apt_core.base.words import duration, sentence
from apt_core.measure.questions import Scored, Scoring
from apt_core.reports.token_sheet import token_sheet
from apt_core.ui.conversation import heard, waiting
from apt_core.ui.exchange import Exchange
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.gaps import gaps_block
from apt_core.ui.views.html import Markup

_HEARTBEAT_SECONDS = 0.5
_PLACE = "the probability gap"


class Gap(NamedTuple):
    toggle: gr.Checkbox
    block: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        return [self.toggle, self.block]


def lay_out() -> Gap:
    toggle = gr.Checkbox(
        False,
        label="Mark the tokens of the dense answer by their probability gap",
        elem_id="ask-gap",
        visible=False,
        container=False,
    )
    return Gap(toggle, html("gaps"))


def offered(gap: Gap, exchange: Exchange | None) -> dict[Any, Any]:
    """After another answer: nothing is marked, and it can be asked for where there is a dense answer."""
    there = exchange is not None and exchange.can_be_scored
    return {gap.toggle: gr.update(value=False, visible=there), gap.block: ""}


def wire(gap: Gap, exchange: gr.State, studio: Studio) -> None:
    def toggled(on: Any, last: Any) -> Iterator[dict[Any, Any]]:
        if not on or not isinstance(last, Exchange):
            yield {gap.block: ""}
            return
        yield from studio.streams.while_shown(last.runs[0], _PLACE, lambda _: score(gap, studio, last))

    gap.toggle.input(
        toggled,
        [gap.toggle, exchange],
        [gap.block],
        concurrency_limit=24,  # they wait for one another in the reader, which says so
        concurrency_id="ask",
        show_progress="hidden",
        api_visibility="private",
        trigger_mode="always_last",
    )


def score(gap: Gap, studio: Studio, exchange: Exchange) -> Iterator[dict[Any, Any]]:
    """From the tick to the marked answer, as updates. Whatever goes wrong is a sentence in their place."""
    run_id, *others = exchange.runs
    try:
        asking = studio.score(run_id, exchange.question, exchange.answered.dense_ids, others)
    except PruneError as error:
        yield {gap.block: _line(str(error), bad=True)}
        return
    started, done = time.monotonic(), ""
    for reply in heard(asking, _HEARTBEAT_SECONDS):
        if isinstance(reply, Scored):
            yield {gap.block: _shown(studio, exchange, reply)}
        elif isinstance(reply, Scoring):
            done = f", {reply.done} of {reply.total} tokens"
        elif reply is not None and hasattr(reply, "message"):
            yield {gap.block: _line(sentence(reply.message), bad=True)}
        else:
            said = duration(time.monotonic() - started)
            now = waiting(asking) or "Reading the dense answer with every model:"
            yield {gap.block: _line(f"{now} {said} so far{done}.")}


def _shown(studio: Studio, exchange: Exchange, scored: Scored) -> str:
    names = [head.title for head in exchange.heads[1:]]
    name = f"token-probabilities-{exchange.runs[0]}.csv"
    address = studio.handouts.put(name, "text/csv", token_sheet(scored, names).as_csv())
    return str(gaps_block(scored, names, address))


def _line(text: str, bad: bool = False) -> str:
    return str(
        Markup('<p class="line{}" role="status" aria-live="polite">{}</p>').format(
            " bad" if bad else "", text
        )
    )
