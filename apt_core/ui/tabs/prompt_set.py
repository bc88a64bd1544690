"""Several prompts at once: a set of one's own or the bundled one, a table prompt x model, and files of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import PruneError
from apt_core.base.limits import PROMPT_CHARACTERS
from apt_core.base.paths import ASSETS
from apt_core.base.policy import HostPolicy
from apt_core.base.words import duration, sentence
from apt_core.measure.answer_set import AnswerSet, prompts_in
from apt_core.reports.answer_sheet import answer_sheet, as_json, as_markdown
from apt_core.runs.asking_many import AskingMany, Progress
from apt_core.ui.conversation import ask_many, heard, waiting
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.answer_table import answer_table
from apt_core.ui.views.html import Markup

BUNDLED = ASSETS / "prompts" / "short.txt"
_HEARTBEAT_SECONDS = 0.5
_SECONDS_BETWEEN_UPDATES = 0.5
_LONGEST_TEXT = 200_000  # characters that are looked at all


class PromptSet(NamedTuple):
    prompts: gr.Textbox
    bundled: gr.Button
    ask: gr.Button
    stop: gr.Button
    state: gr.HTML
    table: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        return [self.ask, self.stop, self.state, self.table]


def lay_out() -> PromptSet:
    with gr.Accordion("Several prompts at once", open=False, elem_classes="fold", elem_id="several"):
        prompts = gr.Textbox(
            label="Prompts, one a line",
            lines=4,
            max_lines=14,
            elem_id="prompt-set",
            placeholder="One prompt a line; the models, the temperature and the length are those above",
        )
        with gr.Row(elem_id="set-row"):
            bundled = gr.Button("Fill in short prompts", elem_id="set-bundled")
            ask = gr.Button("Ask all", elem_id="set-ask", interactive=False)
            stop = gr.Button("Stop", variant="stop", elem_id="set-stop", visible=False)
        state = html("set-state")
        table = html("set-table")
    return PromptSet(prompts, bundled, ask, stop, state, table)


def show(several: PromptSet, ready: bool, policy: HostPolicy) -> dict[Any, Any]:
    """Before anybody asks about this run: never the prompts, which stay."""
    most = f"At most {policy.prompts_at_once} prompts of {PROMPT_CHARACTERS:,} characters each."
    return {
        several.ask: gr.update(interactive=ready),
        several.stop: gr.update(visible=False),
        several.state: _line(most),
        several.table: "",
    }


def fill_in(policy: HostPolicy) -> str:
    """The script that fills in as many of the bundled prompts as may be asked, without asking the server."""
    lines = BUNDLED.read_text(encoding="utf-8").splitlines()[: policy.prompts_at_once]
    return f"() => {json.dumps(chr(10).join(lines))}"


def converse(
    several: PromptSet,
    studio: Studio,
    run_id: str,
    text: Any,
    values: tuple[Any, ...],
    stop: threading.Event,
    others: Sequence[str] = (),
) -> Iterator[dict[Any, Any]]:
    """All prompts from press to last word, as updates. values: of the form of one question, its prompt unused."""
    try:
        prompts = prompts_in(str(text or "")[:_LONGEST_TEXT], studio.policy.prompts_at_once)
        asking = ask_many(studio, run_id, prompts, values, others)
    except PruneError as error:
        yield {several.state: _line(str(error), bad=True)}
        return
    yield {
        several.ask: gr.update(interactive=False),
        several.stop: gr.update(visible=True),
        several.state: _line(f"Asking {len(prompts)} prompts, one after another."),
        several.table: "",
    }
    yield from _answers(several, studio, asking, stop)
    yield {several.ask: gr.update(interactive=True), several.stop: gr.update(visible=False)}


def _answers(
    several: PromptSet, studio: Studio, asking: AskingMany, stop: threading.Event
) -> Iterator[dict[Any, Any]]:
    started = shown_at = time.monotonic()
    rows, stopped, at = 0, False, "The first prompt"
    if stop.is_set():
        asking.stop()
    for now in heard(asking, _HEARTBEAT_SECONDS):
        if stop.is_set() and not stopped:
            stopped = True
            asking.stop()
        if now is not None and now.ended:
            yield _last(several, studio, now, time.monotonic() - started)
            return
        if now is not None:
            at = f"Prompt {now.place + 1} of {now.done.asked}, {now.tokens} tokens"
        if now is not None and len(now.done.rows) > rows:
            rows = len(now.done.rows)
            yield {several.table: str(answer_table(now.done))}
        elif time.monotonic() - shown_at > _SECONDS_BETWEEN_UPDATES:
            shown_at = time.monotonic()
            word = "Stopping" if stopped else waiting(asking).rstrip(";") or at
            yield {several.state: _line(f"{word} · {duration(shown_at - started)} so far.")}


def _last(several: PromptSet, studio: Studio, now: Progress, seconds: float) -> dict[Any, Any]:
    """The whole table with its files, and how it ended."""
    record = now.done
    table = answer_table(record, files_of(studio, record)) if record.rows else Markup("")
    if now.failed is not None:
        return {several.table: str(table), several.state: _line(sentence(now.failed.message), bad=True)}
    end = "Stopped" if record.stopped else "Done"
    said = f"{end} after {duration(seconds)}: {len(record.rows)} of {record.asked} prompts answered."
    return {several.table: str(table), several.state: _line(said)}


def files_of(studio: Studio, record: AnswerSet) -> list[tuple[str, str]]:
    """(address, label) of CSV, JSON and Markdown, named by the first run."""
    name = f"answers-{record.runs[0]}"
    files = (
        ("csv", "text/csv", answer_sheet(record).as_csv(), "Answers, CSV"),
        ("json", "application/json", as_json(record), "Answers, JSON"),
        ("md", "text/markdown", as_markdown(record), "Answers, Markdown"),
    )
    return [
        (studio.handouts.put(f"{name}.{ending}", kind, text), label) for ending, kind, text, label in files
    ]


def _line(text: str, bad: bool = False) -> str:
    return str(
        Markup('<p class="line{}" role="status" aria-live="polite">{}</p>').format(
            " bad" if bad else "", text
        )
    )
