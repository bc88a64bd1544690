"""The right column: the components in which the parts of a run are shown, sorted into views."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from apt_core.events.records import RunRecord
from apt_core.plots import charts
from apt_core.plots.chart import Chart
from apt_core.runs.owners import Action
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.chart import chart
from apt_core.ui.views.chart_payload import part_of
from apt_core.ui.views.run_view import parts

# The script of the page finds a part by its name, and brings it up to date while a run goes on.
_KNOWN_TO_SCRIPT = "window.aptStudio.part(element, props);"
_OPENS_RUNS = "window.aptStudio.runs(element, trigger);"
_SWITCHES_VIEWS = "window.aptStudio.views(element);"


class Result(NamedTuple):
    """The components, by the names of the parts, and the buttons and places beside them."""

    parts: dict[str, gr.HTML]
    note: gr.HTML  # one sentence about the link or the last action, usually empty
    stop: gr.Button
    again: gr.Button  # puts the choices of this run into the chooser
    bar: gr.Row  # views and what can be done with this run; further buttons go in here
    beside: gr.Row  # the charts, and what stands beside them

    @property
    def outputs(self) -> list[Any]:
        return [*self.parts.values(), self.note, self.stop]


def lay_out() -> Result:
    """Draw the column inside the current Blocks context."""
    shown: dict[str, gr.HTML] = {}

    def part(name: str) -> None:
        shown[name] = html(name, known=True)

    note = html("note", known=True)
    with gr.Row(elem_id="now", equal_height=False):
        part("status")
        stop = gr.Button(
            "Stop", variant="stop", size="sm", elem_id="stop", visible=False, scale=0, min_width=72
        )
    part("headline")
    part("figures")
    with gr.Row(elem_id="bar", equal_height=False) as bar:
        shown["views"] = gr.HTML(
            "", elem_id="views", apply_default_css=False, js_on_load=_KNOWN_TO_SCRIPT + _SWITCHES_VIEWS
        )
        again = gr.Button("Use these choices", size="sm", elem_id="again")
        part("present")
    with gr.Row(elem_id="beside", equal_height=False) as beside, gr.Column(elem_id="charts", min_width=280):
        for one in charts():
            shown |= section(one)
    with gr.Column(elem_id="size-and-speed"):
        gr.HTML("<h3>Size and speed</h3>", apply_default_css=False, js_on_load=None)
        part("sizes")
    part("warnings")
    return Result(shown, note, stop, again, bar, beside)


def lay_out_end(result: Result) -> None:
    """How the run was made, below everything else; inside the current Blocks context."""
    with gr.Accordion("How this was made", open=False, elem_id="made", elem_classes="fold"):
        result.parts["provenance"] = html("provenance", known=True)


def section(one: Chart, before: str = "") -> dict[str, gr.HTML]:
    """A chart, hidden while it has nothing to say. before: what its id begins with, where the page has it a second
    time."""
    name = part_of(one, before)
    with gr.Column(min_width=280, elem_id=f"{before}{one.name}-section", elem_classes="chart-section"):
        return {name: chart(name)}


def show(result: Result, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """The updates that show all of this run."""
    updates: dict[Any, Any] = {result.parts[name]: value for name, value in parts(studio, record).items()}
    stoppable = record.status in ("queued", "running") and studio.may(Action.STOP, record)
    return updates | {result.stop: gr.update(visible=stoppable)}


def html(name: str, known: bool = False, opens: bool = False) -> gr.HTML:
    """An empty place for HTML. `known`: to the script of the page too. `opens`: and its links open runs."""
    script = _KNOWN_TO_SCRIPT + _OPENS_RUNS if opens else _KNOWN_TO_SCRIPT if known else None
    return gr.HTML("", elem_id=name, apply_default_css=False, js_on_load=script)
