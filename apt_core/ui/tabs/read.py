"""Read both: one prompt, the dense and the pruned model side by side, further pruned ones beside them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gradio as gr
from pydantic import ValidationError

from apt_core.base.errors import BadInput, PruneError, one_sentence
from apt_core.base.heartbeat import with_heartbeat
from apt_core.base.limits import ASKED_TOGETHER
from apt_core.base.words import duration, sentence
from apt_core.events.records import RunRecord
from apt_core.measure.questions import Answered, Question, ReaderReady, Step
from apt_core.studies.names import names_of
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views import answers
from apt_core.ui.views.html import Markup
from apt_core.ui.views.run_view import ViewState

EXAMPLES = (
    "Why is the sky blue?",
    "What is the capital of France, and what is it known for?",
    "Explain photosynthesis to a child.",
    "Write three lines about autumn.",
)
_LOADING = "Loading {}; the first question about a run takes longest."
_MORE = ASKED_TOGETHER - 2  # runs beside the one that is shown
_HEARTBEAT_SECONDS = 0.5
_SECONDS_BETWEEN_UPDATES = 0.15  # words are read, not counted: seven updates a second are plenty


class Reading(NamedTuple):
    section: gr.Column  # hidden beside a run that only measured a model
    prompt: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    columns: gr.HTML
    state: gr.HTML  # one line: what is going on, then what happened
    temperature: gr.Slider
    top_p: gr.Slider
    seed: gr.Number
    max_tokens: gr.Slider
    chat: gr.Checkbox
    more: gr.Dropdown  # further runs of the same model that are asked too

    @property
    def inputs(self) -> list[Any]:
        return [self.prompt, self.max_tokens, self.temperature, self.top_p, self.seed, self.chat]

    @property
    def outputs(self) -> list[Any]:
        """What opening another run changes: never the prompt."""
        return [self.section, self.columns, self.state, self.ask, self.stop, self.more]


def lay_out() -> Reading:
    """Draw the section inside the current Blocks context."""
    defaults = Question(prompt="-")
    with gr.Column(elem_id="read") as section:
        gr.HTML(
            "<h3>Read both</h3><p class='lead'>Ask the dense and the pruned model the same thing; "
            "all draw with the same random numbers, so every difference is the pruning.</p>",
            apply_default_css=False,
        )
        prompt = gr.Textbox(
            label="Prompt",
            lines=2,
            max_lines=8,
            placeholder="Ask something, or begin a text",
            elem_id="prompt",
        )
        with gr.Row(elem_id="examples"):
            for number, example in enumerate(EXAMPLES):
                button = gr.Button(example, size="sm", elem_classes="example", elem_id=f"example-{number}")
                button.click(None, None, prompt, js=f"() => {example!r}", api_visibility="private")
        with gr.Accordion("Temperature, seed and length", open=False, elem_classes="fold"), gr.Row():
            temperature = gr.Slider(
                0, 2, value=defaults.temperature, step=0.05, label="Temperature (0: the likeliest)"
            )
            top_p = gr.Slider(
                0.05, 1, value=defaults.top_p, step=0.05, label="Top-p (only the likeliest words)"
            )
            max_tokens = gr.Slider(8, 512, value=defaults.max_tokens, step=8, label="At most, tokens")
            seed = gr.Number(value=defaults.seed, label="Seed", min_width=80)
            chat = gr.Checkbox(value=defaults.chat, label="Use the model's chat form where it has one")
        more = gr.Dropdown(
            [],
            multiselect=True,
            max_choices=_MORE,
            label=f"Add a model (up to {_MORE} further runs of the same model)",
            elem_id="ask-more",
            visible=False,
        )
        with gr.Row(elem_id="ask-row"):
            ask = gr.Button("Ask both", variant="primary", elem_id="ask", interactive=False)
            stop = gr.Button("Stop", variant="stop", elem_id="stop-asking", visible=False)
        state = html("reading-state")
        columns = html("answers")
    return Reading(
        section, prompt, ask, stop, columns, state, temperature, top_p, seed, max_tokens, chat, more
    )


def show(reading: Reading, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """What the section looks like for this run before anybody asks."""
    ready = studio.checkpoint(record.id) is not None and record.status == "finished"
    recorded = studio.recorded_answer(record.id)
    if recorded:
        said, note = answers.compared(recorded.answered, question=recorded.question), "Recorded answers."
    else:
        said, note = answers.empty(_why_not(record, ready, studio.withholds(record.id))), ""
    others = studio.askable_beside(record) if ready else {}
    return {
        reading.section: gr.update(visible="pruned" in record.job.subjects),
        reading.columns: str(said),
        reading.state: _line(note),
        reading.ask: gr.update(interactive=ready),
        reading.stop: gr.update(visible=False),
        reading.more: gr.update(
            choices=[(name, run) for run, name in others.items()], value=[], visible=bool(others)
        ),
    }


def wire(reading: Reading, seen: gr.HTML, studio: Studio) -> None:
    """Ask streams; Stop ends the answer of the same tab, whose last word comes through the same stream."""
    stops: dict[str, threading.Event] = {}  # one for every tab that is being answered

    def ask(request: gr.Request, view: Any, more: Any, *values: Any) -> Iterator[dict[Any, Any]]:
        tab = request.session_hash or ""
        stops[tab] = threading.Event()
        try:
            yield from converse(reading, studio, ViewState.parse(view).run, values, stops[tab], runs_in(more))
        finally:
            stops.pop(tab, None)

    def stop(request: gr.Request) -> None:
        if asked_to_stop := stops.get(request.session_hash or ""):
            asked_to_stop.set()

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on(
        [reading.ask.click, reading.prompt.submit],
        ask,
        [seen, reading.more, *reading.inputs],
        [reading.ask, reading.stop, reading.state, reading.columns],
        concurrency_limit=8,  # they wait for one another in the reader, which says so
        concurrency_id="ask",
        **quiet,
    )
    reading.stop.click(stop, None, None, concurrency_limit=None, **quiet)


def runs_in(chosen: Any) -> tuple[str, ...]:
    """The run ids of a list of choices, one more than may be at most, so that too many is said."""
    values = chosen if isinstance(chosen, list) else []
    return tuple(str(value)[:100] for value in values[: _MORE + 1])


def converse(
    reading: Reading,
    studio: Studio,
    run_id: str,
    values: tuple[Any, ...],
    stop: threading.Event,
    others: Sequence[str] = (),
) -> Iterator[dict[Any, Any]]:
    """One question from press to last word, as updates. Whatever goes wrong is a sentence in the state line."""
    try:
        question = question_from(values)
        if studio.checkpoint(run_id) is None:
            raise BadInput("There is no pruned model to ask here; prune one first.")
        heads = heads_of(studio, run_id, others)
        asked = Asked(question, heads, studio.ask(run_id, question, others))
    except PruneError as error:
        yield {reading.state: _line(str(error), bad=True)}
        return
    yield {
        reading.ask: gr.update(interactive=False),
        reading.stop: gr.update(visible=True),
        reading.state: _line(asked.loading),
        reading.columns: str(answers.empty("", heads)),
    }
    for columns, state, bad in _answer(asked, stop):
        updates = {reading.state: _line(state, bad)}
        yield updates | ({reading.columns: str(columns)} if columns is not None else {})
    yield {reading.ask: gr.update(interactive=True), reading.stop: gr.update(visible=False)}


class Asked(NamedTuple):
    """A question, what is over the columns of its answers, and the answers as they come."""

    question: Question
    heads: tuple[answers.Head, ...]
    asking: Any

    @property
    def loading(self) -> str:
        return _LOADING.format("both models" if len(self.heads) == 2 else f"{len(self.heads)} models")


def heads_of(studio: Studio, run_id: str, others: Sequence[str]) -> tuple[answers.Head, ...]:
    """Raises UnknownRun where one of them is not there."""
    if not others:
        return answers.PAIR
    names = names_of([studio.record(each) for each in (run_id, *others)])
    return answers.heads_of([names[each] for each in (run_id, *others)])


def question_from(values: tuple[Any, ...]) -> Question:
    """Raises PruneError with one sentence."""
    prompt, max_tokens, temperature, top_p, seed, chat = values
    prompt = str(prompt or "")
    if not prompt.strip():
        raise BadInput("Write a prompt first.")
    if len(prompt) > 20_000:
        raise BadInput(f"The prompt has {len(prompt):,} characters; use at most 20,000.")
    try:
        return Question(
            prompt=prompt,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            chat=bool(chat),
        )
    except ValidationError as error:
        raise BadInput(sentence(one_sentence(error))) from error


def _answer(asked: Asked, stop: threading.Event) -> Iterator[tuple[Markup | None, str, bool]]:
    """(columns or None for unchanged, state line, whether it is bad news) as the answer comes."""
    question, heads = asked.question, asked.heads
    duel, started, shown_at = answers.Duel(len(heads)), time.monotonic(), 0.0
    asking, stopped = asked.asking, False
    for reply in with_heartbeat(asking, _HEARTBEAT_SECONDS):
        now = time.monotonic()
        if stop.is_set() and not duel.steps:  # not our turn yet, or the models are still being loaded
            yield None, "Stopped before the first word.", False
            return
        if stop.is_set() and not stopped:
            stopped = True
            asking.stop()  # its last word, with what there is, comes next
        if reply is None:
            if not duel.steps:
                yield None, f"{asked.loading} {duration(now - started)} so far.", False
        elif isinstance(reply, ReaderReady):
            yield None, "The models are loaded; reading the prompt.", False
        elif isinstance(reply, Step):
            duel.add(*reply.texts)
            if now - shown_at > _SECONDS_BETWEEN_UPDATES:
                shown_at = now
                state = f"{duel.steps} tokens · {answers.settings_line(question)}"
                yield answers.streaming(duel, heads, question), state, False
        elif isinstance(reply, Answered):
            state = f"{answers.finish_line(reply, heads)} {answers.settings_line(question)}"
            yield answers.compared(reply, heads, question), state, False
        else:
            yield None, sentence(reply.message), True


def _why_not(record: RunRecord, ready: bool, withheld: bool) -> str:
    if ready:
        return "Both models are ready to be asked."
    if withheld:
        return "This model is only for accounts that accepted its terms, so it is neither asked nor given out here."
    if record.live:
        return "You can ask as soon as this run has finished."
    if record.id.startswith("sample-"):
        return "This is a recorded sample without weights; prune a model to ask both."
    if record.status == "finished":
        return "The pruned weights of this run were removed to save disk space; prune again to ask."
    return "This run did not finish, so there is no pruned model to ask."


def _line(text: str, bad: bool = False) -> str:
    return str(
        Markup('<p class="line{}" role="status" aria-live="polite">{}</p>').format(
            " bad" if bad else "", text
        )
    )
