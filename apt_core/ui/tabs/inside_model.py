"""Inside the model: how error grows with depth, and what each block costs when it alone is pruned; both on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.base.heartbeat import with_heartbeat
from apt_core.base.words import sentence
from apt_core.estimate.looking import looking_seconds
from apt_core.events.records import RunRecord
from apt_core.measure.depth_values import BlocksAlone, Depth
from apt_core.measure.inside.questions import BlocksAloneQuestion, DepthQuestion, Looking
from apt_core.plots.inside_model import NAMES
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.chart import chart
from apt_core.ui.tabs.inside import line, why_not
from apt_core.ui.tabs.result import html
from apt_core.ui.views import inside_model as views
from apt_core.ui.views.run_view import ViewState

ASKS: dict[str, views.Asked] = {"depth": DepthQuestion, "alone": BlocksAloneQuestion}
WORDS = {"depth": "Follow the depth", "alone": "Prune each block alone"}
_HEARTBEAT_SECONDS = 0.5
_PLACE = "inside the model"
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class InsideModel(NamedTuple):
    """asks, charts, tables: by the names of `plots.inside_model.NAMES`."""

    section: gr.Column  # hidden beside a run without pruned layers
    asks: dict[str, gr.Button]
    stop: gr.Button
    state: gr.HTML
    charts: dict[str, gr.HTML]
    tables: dict[str, gr.HTML]

    @property
    def shown(self) -> list[Any]:
        """What an answer changes."""
        return [*self.asks.values(), self.stop, self.state, *self.charts.values(), *self.tables.values()]

    @property
    def outputs(self) -> list[Any]:
        return [self.section, *self.shown]


def lay_out() -> InsideModel:
    """Draw the section inside the current Blocks context."""
    with gr.Column(elem_id="inside-model") as section:
        gr.HTML(
            "<h3>Inside the model</h3><p class='lead'>How far the pruned model's hidden states are from the dense "
            "ones after each block, and which share of the loss each block costs when it alone is pruned. Both read "
            "a few windows again.</p>",
            apply_default_css=False,
        )
        with gr.Row(elem_id="inside-model-row"):
            asks = {
                name: gr.Button(WORDS[name], elem_id=f"inside-ask-{name}", size="sm", scale=0)
                for name in NAMES
            }
            stop = gr.Button("Stop", variant="stop", visible=False, elem_id="inside-stop", size="sm", scale=0)
        state = html("inside-model-state")
        charts, tables = {}, {}
        for name in NAMES:
            with gr.Column(min_width=280, elem_classes=["chart-section", "wide"]):
                charts[name] = chart(f"inside-{name}-chart")
                tables[name] = html(f"inside-{name}-table")
    return InsideModel(section, asks, stop, state, charts, tables)


def show(model: InsideModel, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """The section for this run: what was found before, and about how long the rest takes."""
    ready = record.status == "finished" and studio.checkpoint(record.id) is not None
    visible = bool(record.layers) and record.status == "finished"
    found = {name: _kept(studio, record, name) if visible else None for name in NAMES}
    bare = studio.is_sample(record.id) and not any(found.values())  # the section above says that already
    updates: dict[Any, Any] = {
        model.section: gr.update(visible=visible and not bare),
        model.stop: gr.update(visible=False),
        model.state: line("" if ready or all(found.values()) else why_not(studio, record)),
    }
    for name in NAMES:
        updates |= _filled(model, name, found[name])
        updates |= {model.asks[name]: _button(record, name, found[name], ready)}
    return updates


def wire(model: InsideModel, seen: gr.HTML, studio: Studio) -> None:
    """Each button streams; Stop ends what the same tab asked, whose last word comes through the same stream."""

    def asking(name: str) -> Any:
        def pressed(view: Any) -> Iterator[dict[Any, Any]]:
            run_id = ViewState.parse(view).run
            yield from studio.streams.while_shown(
                run_id, _PLACE, lambda stop: look(model, studio, run_id, name, stop)
            )

        return pressed

    for name, button in model.asks.items():
        button.click(asking(name), seen, model.shown, concurrency_limit=8, concurrency_id="inside", **_QUIET)
    model.stop.click(lambda: studio.streams.stop(_PLACE), None, None, concurrency_limit=None, **_QUIET)


def look(
    model: InsideModel, studio: Studio, run_id: str, name: str, stop: threading.Event
) -> Iterator[dict[Any, Any]]:
    """From press to answer, as updates. Whatever goes wrong is a sentence in the state line."""
    question = ASKS[name](run=run_id)
    try:
        record = studio.record(run_id)
        if studio.is_sample(run_id):
            raise BadInput(why_not(studio, record))
        replies = studio.look_inside(question)
    except PruneError as error:
        yield {model.state: line(str(error), bad=True)}
        return
    yield {
        **{button: gr.update(interactive=False) for button in model.asks.values()},
        model.stop: gr.update(visible=True),
        model.state: line("Loading both models."),
    }
    last, stopping = None, False
    for reply in with_heartbeat(replies, _HEARTBEAT_SECONDS):
        last = last if reply is None else reply
        if stop.is_set() and not stopping:
            stopping = True
            studio.stop_looking(question)
        if isinstance(reply, Looking) and not stopping:
            yield {model.state: line(_where(reply))}
    yield {
        **{model.asks[one]: _button(record, one, _kept(studio, record, one), True) for one in NAMES},
        model.stop: gr.update(visible=False),
        **_ended(model, name, last, stopping),
    }


def _ended(model: InsideModel, name: str, last: Any, stopped: bool) -> dict[Any, Any]:
    """The last word: the chart, or a sentence."""
    if isinstance(last, Depth | BlocksAlone):
        return _filled(model, name, last) | {model.state: line("")}
    if stopped:
        return {model.state: line("Stopped; nothing of it is kept.")}
    return {model.state: line(sentence(getattr(last, "message", "No answer came; ask again.")), bad=True)}


def _where(step: Looking) -> str:
    return sentence(f"{step.detail}, {step.done} of {step.total}" if step.total > 1 else step.detail)


def _kept(studio: Studio, record: RunRecord, name: str) -> Depth | BlocksAlone | None:
    """What was found before; nothing of a run that is not for everybody."""
    try:
        found = studio.seen_inside(ASKS[name](run=record.id))
    except PruneError:
        return None
    return found if isinstance(found, Depth | BlocksAlone) else None


def _filled(model: InsideModel, name: str, found: Depth | BlocksAlone | None) -> dict[Any, Any]:
    return {
        model.charts[name]: views.payload(found) if found else None,
        model.tables[name]: str(views.numbers(found)) if found else "",
    }


def _button(record: RunRecord, name: str, found: Depth | BlocksAlone | None, ready: bool) -> Any:
    seconds = looking_seconds(record, ASKS[name](run=record.id))
    words = views.button(WORDS[name], seconds if ready else None, found is not None)
    return gr.update(value=words, interactive=ready and found is None)
