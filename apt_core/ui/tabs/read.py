"""Read both: one prompt, the dense and the pruned model side by side, further pruned ones beside them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.base.limits import ASKED_TOGETHER
from apt_core.events import Answers
from apt_core.events.records import RunRecord
from apt_core.measure.questions import Answered, Question
from apt_core.ui.conversation import Asked, conversation, heads_of, question_from
from apt_core.ui.exchange import Exchange
from apt_core.ui.forms.slider import Slider
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import blind, gap, prompt_set
from apt_core.ui.tabs.blind import Blind
from apt_core.ui.tabs.gap import Gap
from apt_core.ui.tabs.prompt_set import PromptSet
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
_MORE = ASKED_TOGETHER - 2  # runs beside the one that is shown
_ONE, _SEVERAL = "one prompt", "several prompts"


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
    exchange: gr.State  # the last question and its answers, on the server alone
    gap: Gap
    blind: Blind
    several: PromptSet

    @property
    def inputs(self) -> list[Any]:
        return [self.prompt, self.max_tokens, self.temperature, self.top_p, self.seed, self.chat]

    @property
    def outputs(self) -> list[Any]:
        """What opening another run changes: never the prompt."""
        return [self.section, self.more, *self.answered, *self.several.outputs]

    @property
    def answered(self) -> list[Any]:
        """What a question changes."""
        return [
            self.ask,
            self.stop,
            self.state,
            self.columns,
            self.exchange,
            *self.gap.outputs,
            *self.blind.outputs,
        ]


def lay_out() -> Reading:
    """Draw the section inside the current Blocks context."""
    defaults = Question(prompt="-")
    with gr.Column(elem_id="read") as section:
        gr.HTML(
            "<h3>Compare outputs</h3><p class='lead'>Ask the dense and the pruned model the same thing; "
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
            temperature = Slider(0, 2, value=defaults.temperature, step=0.05, label="Temperature (0: greedy)")
            top_p = Slider(0.05, 1, value=defaults.top_p, step=0.05, label="Top-p")
            max_tokens = Slider(8, 512, value=defaults.max_tokens, step=8, label="Max new tokens")
            seed = gr.Number(value=defaults.seed, label="Seed", min_width=80)
            chat = gr.Checkbox(value=defaults.chat, label="Use the chat template where the model has one")
        more = gr.Dropdown(
            [],
            multiselect=True,
            max_choices=_MORE,
            label=f"Add a model (up to {_MORE} further runs of the same model)",
            elem_id="ask-more",
            visible=False,
        )
        blindly = blind.lay_out_toggle()
        with gr.Row(elem_id="ask-row"):
            ask = gr.Button("Generate", variant="primary", elem_id="ask", interactive=False)
            stop = gr.Button("Stop", variant="stop", elem_id="stop-asking", visible=False)
        state = html("reading-state")
        columns = html("both")
        voting = blind.lay_out(blindly)
        exchange, marks = gr.State(None), gap.lay_out()
        several = prompt_set.lay_out()
    settings = (temperature, top_p, seed, max_tokens, chat)
    return Reading(
        section, prompt, ask, stop, columns, state, *settings, more, exchange, marks, voting, several
    )


def show(reading: Reading, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """What the section looks like for this run before anybody asks."""
    ready = studio.checkpoint(record.id) is not None and record.status == "finished"
    known = studio.with_questions(record).questions
    if known:
        said, note = answers.compared(known[-1].answered, question=known[-1].question), ""
    else:
        said, note = answers.empty(_why_not(record, ready, studio.withholds(record.id))), ""
    others = studio.askable_beside(record) if ready else {}
    return {
        reading.section: gr.update(visible="pruned" in record.job.subjects),
        reading.columns: str(said),
        reading.state: _line(note),
        reading.ask: gr.update(interactive=ready),
        reading.stop: gr.update(visible=False),
        **_forgotten(reading),
        **prompt_set.show(reading.several, ready, studio.policy),
        reading.more: gr.update(
            choices=[(name, run) for run, name in others.items()], value=[], visible=bool(others)
        ),
    }


_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# They wait for one another in the reader, which says so.
_IN_LINE: dict[str, Any] = {"concurrency_limit": 24, "concurrency_id": "ask", **_QUIET}


def wire(reading: Reading, seen: gr.HTML, studio: Studio) -> None:
    def ask(view: Any, more: Any, hide: Any, *values: Any) -> Iterator[dict[Any, Any]]:
        run_id, others = ViewState.parse(view).run, runs_in(more)
        yield from studio.streams.while_shown(
            run_id,
            _ONE,
            lambda stop: converse(reading, studio, run_id, values, stop, others, bool(hide)),
        )

    gr.on(
        [reading.ask.click, reading.prompt.submit],
        ask,
        [seen, reading.more, reading.blind.toggle, *reading.inputs],
        reading.answered,
        **_IN_LINE,
    )
    reading.stop.click(lambda: studio.streams.stop(_ONE), None, None, concurrency_limit=None, **_QUIET)
    gap.wire(reading.gap, reading.exchange, studio)
    for ballot, button in reading.blind.buttons.items():
        button.click(
            partial(reveal, reading, studio, ballot),
            [reading.blind.ballot, reading.blind.visitor],
            [*reading.answered, reading.blind.visitor],
            concurrency_limit=None,
            **_QUIET,
        )
    _wire_several(reading, seen, studio)


def _wire_several(reading: Reading, seen: gr.HTML, studio: Studio) -> None:
    several = reading.several

    def ask(view: Any, more: Any, text: Any, *values: Any) -> Iterator[dict[Any, Any]]:
        run_id, others = ViewState.parse(view).run, runs_in(more)
        yield from studio.streams.while_shown(
            run_id,
            _SEVERAL,
            lambda stop: prompt_set.converse(several, studio, run_id, text, values, stop, others),
        )

    several.bundled.click(
        None, None, several.prompts, js=prompt_set.fill_in(studio.policy), api_visibility="private"
    )
    several.ask.click(
        ask, [seen, reading.more, several.prompts, *reading.inputs], several.outputs, **_IN_LINE
    )
    several.stop.click(lambda: studio.streams.stop(_SEVERAL), None, None, concurrency_limit=None, **_QUIET)


def reveal(reading: Reading, studio: Studio, ballot: str, exchange: Any, visitor: Any) -> dict[Any, Any]:
    """A vote was cast: say whose the answers were, and what the votes so far come to."""
    if not isinstance(exchange, Exchange):
        return {reading.blind.row: gr.update(visible=False)}  # this one has been cast
    columns, said, tally, known = blind.vote(studio, exchange, ballot, visitor)
    return {
        reading.columns: columns,
        reading.state: _line(said),
        reading.exchange: exchange,
        **gap.offered(reading.gap, exchange),
        **blind.waiting(reading.blind, None),
        reading.blind.tally: tally,
        reading.blind.visitor: known,
    }


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
    hide: bool = False,
) -> Iterator[dict[Any, Any]]:
    """One question from press to last word, as updates. Whatever goes wrong is a sentence in the state line.

    hide: whether the columns do not say whose they are until there is a vote.
    """
    try:
        asked = ask_for(studio, run_id, question_from(values), others, hide)
    except PruneError as error:
        yield {reading.state: _line(str(error), bad=True)}
        return
    yield {
        reading.ask: gr.update(interactive=False),
        reading.stop: gr.update(visible=True),
        reading.state: _line(asked.loading),
        reading.columns: str(answers.empty("", asked.over_columns)),
        **_forgotten(reading),
    }
    for said in conversation(asked, stop):
        updates: dict[Any, Any] = {reading.state: _line(said.state, said.bad)}
        if said.columns is not None:
            updates[reading.columns] = str(said.columns)
        if said.answered is not None:
            updates |= _answered(reading, studio, asked, said.answered)
        yield updates
    yield {reading.ask: gr.update(interactive=True), reading.stop: gr.update(visible=False)}


def ask_for(studio: Studio, run_id: str, question: Question, others: Sequence[str], hide: bool) -> Asked:
    """Raises PruneError with one sentence."""
    if studio.checkpoint(run_id) is None:
        raise BadInput("There is no pruned model to ask here; prune one first.")
    dense, flipped = (blind.two_of(others), blind.drawn()) if hide else (True, False)
    heads = heads_of(studio, run_id, others)
    asking = studio.ask(run_id, question, others, dense)
    return Asked(question, (run_id, *others), heads if dense else heads[1:], asking, dense, hide, flipped)


def _answered(reading: Reading, studio: Studio, asked: Asked, answered: Answered) -> dict[Any, Any]:
    """What can be done with an answer: look at its tokens, or first vote."""
    exchange = Exchange(asked.question, answered, asked.runs, asked.heads, asked.dense, asked.flipped)
    if exchange.dense and answered.dense_tokens + answered.pruned_tokens:
        studio.keep_answers(asked.runs[0], Answers(question=asked.question, answered=answered))
    if asked.hidden:
        return blind.waiting(reading.blind, exchange)
    return {reading.exchange: exchange, **gap.offered(reading.gap, exchange)}


def _forgotten(reading: Reading) -> dict[Any, Any]:
    """There is no answer (any more) to do something with."""
    return {reading.exchange: None, **gap.offered(reading.gap, None), **blind.waiting(reading.blind, None)}


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
