"""Inside this layer: what pruning did to one layer of the run that is shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr
from pydantic import ValidationError

from apt_core.base.errors import BadInput, PruneError, one_sentence
from apt_core.base.heartbeat import with_heartbeat
from apt_core.base.words import sentence
from apt_core.events.projections import parts_of
from apt_core.events.records import RunRecord
from apt_core.measure.inside.questions import LayerQuestion, Looking
from apt_core.measure.inside.values import LayerInside
from apt_core.plots.inside_layer import NAMES
from apt_core.runs.inspecting import check_row
from apt_core.ui.forms.fields import whole as whole_number
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.chart import chart
from apt_core.ui.tabs.result import html
from apt_core.ui.views import inside as views
from apt_core.ui.views.html import Markup
from apt_core.ui.views.run_view import ViewState

_PICKED = "window.aptStudio.layerPicked(element, trigger);"
_HEARTBEAT_SECONDS = 0.5
_PLACE = "inside a layer"
_NEVER = threading.Event()
_KEPT = (
    "The pruned weights of this run were removed to save disk space; layers that were looked at before can still be "
    "shown, as they were asked for then."
)
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class Inside(NamedTuple):
    section: gr.Column  # hidden beside a run without pruned layers
    layer: gr.Dropdown
    inputs: gr.Checkbox
    row: gr.Number  # of the worked equation; empty for the one that lost most
    look: gr.Button
    picked: gr.HTML  # its script hears when a point of the layer chart is clicked
    state: gr.HTML
    summary: gr.HTML
    charts: dict[str, gr.HTML]
    equation: gr.HTML

    @property
    def shown(self) -> list[Any]:
        """What an answer fills."""
        return [self.layer, self.look, self.state, self.summary, *self.charts.values(), self.equation]

    @property
    def outputs(self) -> list[Any]:
        return [self.section, self.row, *self.shown]

    @property
    def asked(self) -> list[Any]:
        """What is asked about a layer, beside the layer."""
        return [self.inputs, self.row]


def lay_out() -> Inside:
    """Draw the section inside the current Blocks context."""
    with gr.Column(elem_id="inside") as section:
        gr.HTML(
            "<h3>Inside this layer</h3><p class='lead'>Click a point of the layer chart, or choose a layer: its mask, "
            "what each row kept, how far the weights moved.</p>",
            apply_default_css=False,
        )
        with gr.Row(elem_id="inside-row"):
            layer = gr.Dropdown([], label="Layer", elem_id="inside-layer", min_width=200)
            inputs = gr.Checkbox(
                False,
                label="Read the calibration text again: inputs, saliencies, the equation",
                elem_id="inside-inputs",
            )
            row = gr.Number(
                None,
                label="Row of the equation",
                placeholder="that lost most",
                precision=0,
                elem_id="inside-worked-row",
                min_width=170,
                scale=0,
            )
            look = gr.Button("Look inside", elem_id="inside-look", scale=0, min_width=140)
        picked = gr.HTML("", elem_id="inside-picked", apply_default_css=False, js_on_load=_PICKED)
        state = html("inside-state")
        summary = html("inside-summary")
        with gr.Row(elem_id="inside-charts", equal_height=False):
            drawn = {name: _chart(name) for name in NAMES}
        equation = html("inside-equation")
    return Inside(section, layer, inputs, row, look, picked, state, summary, drawn, equation)


def _chart(name: str) -> gr.HTML:
    with gr.Column(min_width=280, elem_classes=["chart-section", "half"]):
        return chart(f"inside-{name}-chart")


def show(inside: Inside, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """The section for this run before anybody looks."""
    finished = record.status == "finished"
    here = finished and studio.checkpoint(record.id) is not None
    before = finished and not here and studio.looked_before(record.id)
    layers = views.choices(record.layers)
    return {
        inside.section: gr.update(visible=bool(layers) and finished),
        inside.layer: gr.update(choices=layers, value=layers[0][1] if layers else None),
        inside.row: None,
        inside.look: gr.update(interactive=here or before),
        inside.state: line(_KEPT if before else "" if here else why_not(studio, record)),
        **_filled(inside, None),
    }


def wire(inside: Inside, seen: gr.HTML, studio: Studio) -> None:
    def shown(run_id: str, layer: Any, inputs: Any, row: Any) -> Iterator[dict[Any, Any]]:
        return studio.streams.while_shown(
            run_id, _PLACE, lambda stop: look(inside, studio, run_id, layer, bool(inputs), row, stop)
        )

    def pressed(view: Any, layer: Any, inputs: Any, row: Any) -> Iterator[dict[Any, Any]]:
        yield from shown(ViewState.parse(view).run, layer, inputs, row)

    def picked(event: gr.EventData, view: Any, inputs: Any, row: Any) -> Iterator[dict[Any, Any]]:
        data = event._data if isinstance(event._data, dict) else {}
        layer = str(data.get("layer", ""))[:300]
        run_id = ViewState.parse(view).run
        if not layer or not studio.has(run_id):
            yield {}
            return
        if studio.checkpoint(run_id) is None and not studio.looked_before(run_id):
            yield {inside.state: line(why_not(studio, studio.record(run_id)))}
            return
        for updates in shown(run_id, layer, inputs, row):
            yield {inside.layer: layer, **updates}

    more: dict[str, Any] = {"concurrency_limit": 8, "concurrency_id": "inside", **_QUIET}
    inside.look.click(pressed, [seen, inside.layer, *inside.asked], inside.shown, **more)
    inside.picked.click(picked, [seen, *inside.asked], inside.shown, trigger_mode="always_last", **more)


def look(
    inside: Inside,
    studio: Studio,
    run_id: str,
    layer: Any,
    inputs: bool,
    row: Any = None,
    stop: threading.Event = _NEVER,
) -> Iterator[dict[Any, Any]]:
    """From press to answer, as updates. Whatever goes wrong is a sentence in the state line."""
    try:
        question = question_from(studio, run_id, layer, inputs, row)
        replies = studio.look_inside(question)
    except PruneError as error:
        yield {inside.state: line(str(error), bad=True)}
        return
    yield {
        inside.look: gr.update(interactive=False),
        inside.state: line("Opening the weights of this layer."),
    }
    for reply in with_heartbeat(replies, _HEARTBEAT_SECONDS):
        if stop.is_set():
            studio.stop_looking(question)
            return
        if reply is None:
            continue
        if isinstance(reply, Looking):
            said = f"{reply.detail}, {reply.done} of {reply.total}" if reply.total > 1 else reply.detail
            yield {inside.state: line(sentence(said))}
        elif isinstance(reply, LayerInside):
            yield {inside.state: line(""), **_filled(inside, reply, question)}
        else:
            yield {inside.state: line(sentence(getattr(reply, "message", "")), bad=True)}
    yield {inside.look: gr.update(interactive=True)}


def question_from(studio: Studio, run_id: str, layer: Any, inputs: bool, row: Any = None) -> LayerQuestion:
    """Raises PruneError with one sentence. layer: 'block:name', as the list and the chart say it. row: that of the
    worked equation, which needs the inputs."""
    block, _, name = str(layer or "").partition(":")
    if not block.isdecimal() or not name:
        raise BadInput("Choose a layer first.")
    record = studio.record(run_id)
    whole = {part.layer: one.layer for one in record.layers for part in parts_of(one)}
    layer, number = whole.get(name, name), None if row in (None, "") else whole_number(row, "The row")
    check_row(record, int(block), layer, number)
    try:
        return LayerQuestion(
            run=run_id, block=int(block), layer=layer, row=number, inputs=inputs or number is not None
        )
    except ValidationError as error:
        raise BadInput(sentence(one_sentence(error))) from error


def _filled(
    inside: Inside, seen: LayerInside | None, question: LayerQuestion | None = None
) -> dict[Any, Any]:
    drawn = views.figures(seen)
    return {
        inside.summary: str(views.summary(seen)) if seen else "",
        inside.equation: str(views.equation(seen) + views.again(question)),
        **{place: drawn[name] for name, place in inside.charts.items()},
    }


def why_not(studio: Studio, record: RunRecord) -> str:
    """Why there is nothing to look into; empty where there is."""
    if record.id.startswith("sample-"):
        return "This is a recorded sample without weights; prune a model to look inside."
    if studio.withholds(record.id):
        return "This model is only for accounts that accepted its terms, so its weights are not shown here."
    if record.status == "finished":
        return "The pruned weights of this run were removed to save disk space; prune again to look inside."
    return ""


def line(text: str, bad: bool = False) -> str:
    """What is going on, for eyes and for screen readers."""
    return str(
        Markup('<p class="line{}" role="status" aria-live="polite">{}</p>').format(
            " bad" if bad else "", text
        )
    )
