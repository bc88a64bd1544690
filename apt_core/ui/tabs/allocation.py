"""Before the run: what the chosen allocation gives each layer, and single layers held at sparsities of their own."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.base.heartbeat import with_heartbeat
from apt_core.base.words import sentence
from apt_core.jobs import Prune
from apt_core.jobs.kinds import prunes
from apt_core.measure.holding import held
from apt_core.measure.inside.questions import AllocationQuestion, Looking
from apt_core.measure.layer_shares import LayerShares
from apt_core.methods.allocations.by_hand import ByHand
from apt_core.models.catalogue import terms
from apt_core.models.fetch import hub_token
from apt_core.ui.forms import checks
from apt_core.ui.forms.account import token_of
from apt_core.ui.forms.choose import Chooser
from apt_core.ui.forms.form import jobs_of, write
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.chart import chart
from apt_core.ui.tabs.inside import line
from apt_core.ui.tabs.result import html
from apt_core.ui.views import layer_shares as views

_HEARTBEAT_SECONDS = 0.5
_PLACE = "an allocation"
_MOST_CHANGES = 2_000  # that one press sends
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_LEAD = (
    "<h3>Before the run: what each layer gets</h3><p class='lead'>Change a cell to hold that layer: the others make "
    "up for it, the whole loses what was chosen, and Prune does what stands here. An empty cell lets its layer go "
    "again.</p>"
)


class Shown(NamedTuple):
    """What a tab has looked at."""

    question: AllocationQuestion
    found: LayerShares


class AllocationSection(NamedTuple):
    section: gr.Column  # there once somebody has asked
    stop: gr.Button
    state: gr.HTML
    chart: gr.HTML
    grid: gr.HTML
    release: gr.Button
    close: gr.Button
    shown: gr.State

    @property
    def filled(self) -> list[Any]:
        """What an answer or a change fills."""
        return [self.section, self.stop, self.state, self.chart, self.grid, self.release]


def lay_out() -> AllocationSection:
    """Draw the section inside the current Blocks context."""
    with gr.Column(elem_id="allocation", visible=False) as section:
        gr.HTML(_LEAD, apply_default_css=False)
        stop = gr.Button("Stop", variant="stop", visible=False, elem_id="allocation-stop", size="sm", scale=0)
        state = html("allocation-state")
        with gr.Column(min_width=280, elem_classes=["chart-section", "wide"]):
            drawn = chart("allocation-before-chart")
        grid = gr.HTML(
            "",
            elem_id="allocation-grid",
            apply_default_css=False,
            js_on_load="window.aptStudio.shares(element, trigger);",
        )
        with gr.Row(elem_id="allocation-row"):
            release = gr.Button("Release all layers", size="sm", visible=False, elem_id="allocation-release")
            close = gr.Button("Close", size="sm", elem_id="allocation-close")
    return AllocationSection(section, stop, state, drawn, grid, release, close, gr.State(None))


def hide(section: AllocationSection) -> dict[Any, Any]:
    """Closed, or no longer needed: once a run is queued, its own chart will say what its layers were given."""
    return {section.section: gr.update(visible=False)}


def wire(section: AllocationSection, chooser: Chooser, studio: Studio) -> None:
    def pressed(token: gr.OAuthToken | None, *given: Any) -> Iterator[dict[Any, Any]]:
        values, mine = chooser.values(given), token_of(token)
        yield from studio.streams.until_stopped(
            _PLACE, lambda stop: look(section, chooser, studio, values, stop, mine)
        )

    def changed(event: gr.EventData, shown: Shown | None, *given: Any) -> dict[Any, Any]:
        data = event._data if isinstance(event._data, dict) else {}
        return change(section, chooser, studio, shown, chooser.values(given), data.get("cells"))

    show = chooser.shares.show
    show.click(None, None, None, js="() => window.aptStudio.toShares()", api_visibility="private")
    show.click(
        pressed,
        chooser.inputs,
        [*section.filled, section.shown, show],
        concurrency_limit=8,
        concurrency_id="inside",
        **_QUIET,
    )
    section.stop.click(lambda: studio.streams.stop(_PLACE), None, None, concurrency_limit=None, **_QUIET)
    section.close.click(lambda: hide(section), None, section.section, concurrency_limit=None, **_QUIET)
    rail = chooser.of(_BY_HAND)
    section.grid.input(
        changed,
        [section.shown, *chooser.inputs],
        [*section.filled, *rail],
        concurrency_limit=8,
        trigger_mode="multiple",
        **_QUIET,
    )
    section.release.click(
        lambda shown, *given: let_go(section, chooser, studio, shown, chooser.values(given)),
        [section.shown, *chooser.inputs],
        [*section.filled, *rail],
        concurrency_limit=8,
        **_QUIET,
    )


# ---- looking


def look(
    section: AllocationSection,
    chooser: Chooser,
    studio: Studio,
    values: dict[str, Any],
    stop: threading.Event,
    token: str | None = None,
) -> Iterator[dict[Any, Any]]:
    """From press to answer, as updates. Whatever goes wrong is a sentence in the state line."""
    try:
        job, question, replies = _asked(chooser, studio, values, token)
    except PruneError as error:
        yield _nothing(section) | {section.state: line(str(error), bad=True)}
        return
    yield _nothing(section) | {
        section.stop: gr.update(visible=True),
        section.state: line("Opening the model."),
        chooser.shares.show: gr.update(interactive=False),
    }
    last, stopping = None, False
    for reply in with_heartbeat(replies, _HEARTBEAT_SECONDS):
        last = last if reply is None else reply
        if stop.is_set() and not stopping:
            stopping = True
            studio.stop_looking(question)
        if isinstance(reply, Looking) and not stopping:
            yield {section.state: line(_where(reply))}
    yield {
        section.stop: gr.update(visible=False),
        chooser.shares.show: gr.update(interactive=True),
        **_ended(section, job, question, last, stopping),
    }


def _asked(
    chooser: Chooser, studio: Studio, values: dict[str, Any], token: str | None
) -> tuple[Prune, AllocationQuestion, Any]:
    """(the job of these values, what is asked of it, the replies); raises PruneError with one sentence."""
    with hub_token.of_visitor(token):
        job = _job_of(chooser, studio, values)
        facts = checks.facts_for(studio, job.model.id)
        question = AllocationQuestion.of(job)
        checks.check(studio, question.job, facts)
        terms.accept(job.model.id)  # `jobs_of` would have refused without the tick
        return job, question, studio.look_at_allocation(question, facts)


def _job_of(chooser: Chooser, studio: Studio, values: dict[str, Any]) -> Prune:
    job = jobs_of(chooser.kind, values | {"rivals": []}, studio.policy)[0]
    if not prunes(job):
        raise BadInput(f"{job.method.title} removes whole structures, so no allocation applies.")
    return job


def _where(step: Looking) -> str:
    return sentence(f"{step.detail}, {step.done} of {step.total}" if step.total > 1 else step.detail)


def _ended(
    section: AllocationSection, job: Prune, question: AllocationQuestion, last: Any, stopped: bool
) -> dict[Any, Any]:
    """The last word: the chart and the table, or a sentence."""
    if isinstance(last, LayerShares):
        return _filled(section, job, last) | {section.shown: Shown(question, last)}
    if stopped:
        return {section.state: line("Stopped; nothing of it is kept.")}
    return {section.state: line(sentence(getattr(last, "message", "No answer came; ask again.")), bad=True)}


def _nothing(section: AllocationSection) -> dict[Any, Any]:
    return {
        section.section: gr.update(visible=True),
        section.stop: gr.update(visible=False),
        section.chart: None,
        section.grid: "",
        section.release: gr.update(visible=False),
        section.shown: None,
    }


def _filled(section: AllocationSection, job: Prune, found: LayerShares) -> dict[Any, Any]:
    now = job.method.allocation
    fixed = now.held_layers if isinstance(now, ByHand) else frozenset()
    return {
        section.section: gr.update(visible=True),
        section.state: line(views.total(found)),
        section.chart: views.payload(found),
        section.grid: str(views.grid(found, fixed, editable=job.pattern.by_layer)),
        section.release: gr.update(visible=bool(fixed)),
    }


# ---- changing


_BY_HAND = ("method.allocation", "method.allocation.by-hand.start", "method.allocation.by-hand.held")


def change(
    section: AllocationSection,
    chooser: Chooser,
    studio: Studio,
    shown: Shown | None,
    values: dict[str, Any],
    cells: Any,
) -> dict[Any, Any]:
    """Hold the layers of these cells, as the browser says them; whatever is in the way is a sentence."""
    try:
        return _held(section, chooser, studio, shown, values, _changes(cells))
    except PruneError as error:
        return {section.state: line(str(error), bad=True)}


def let_go(
    section: AllocationSection, chooser: Chooser, studio: Studio, shown: Shown | None, values: dict[str, Any]
) -> dict[Any, Any]:
    """No layer is held any more; they begin where the allocation had them."""
    try:
        now = _job_of(chooser, studio, values).method.allocation
        layers = now.held_layers if isinstance(now, ByHand) else frozenset()
        changes = {f"{block}:{name}": None for block, name in layers}
        return _held(section, chooser, studio, shown, values, changes)
    except PruneError as error:
        return {section.state: line(str(error), bad=True)}


def _held(
    section: AllocationSection,
    chooser: Chooser,
    studio: Studio,
    shown: Shown | None,
    values: dict[str, Any],
    changes: Mapping[str, float | None],
) -> dict[Any, Any]:
    job = _job_of(chooser, studio, values)
    if shown is None or not _is_of(shown, job):
        raise BadInput("The choices have changed since this was shown; show it again.")
    job, found = held(job, shown.found, changes)
    written = write(job)
    return _filled(section, job, found) | {chooser.controls[path]: written[path] for path in _BY_HAND}


def _is_of(shown: Shown, job: Prune) -> bool:
    """Whether what was looked at still is what the job asks; of an allocation by hand only the layers count."""
    if not isinstance(job.method.allocation, ByHand):
        return AllocationQuestion.of(job) == shown.question
    looked = shown.question.job
    return (looked.model, looked.optional_layers) == (job.model, job.optional_layers)


def _changes(cells: Any) -> dict[str, float | None]:
    """{"3:mlp.down_proj": "30"} -> {"3:mlp.down_proj": 0.3}; an empty cell is None."""
    if not isinstance(cells, dict) or len(cells) > _MOST_CHANGES:
        raise BadInput("Change a cell of the table first.")
    return {str(layer)[:300]: _share(value) for layer, value in cells.items()}


def _share(value: Any) -> float | None:
    text = str(value if value is not None else "").strip()[:20]
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= 99:
        raise BadInput(f"A layer can lose 0 to 99 percent of its weights, not {text}.")
    return found / 100
