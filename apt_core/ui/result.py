"""The right column: components, and what a record makes them show. No polling, no events here."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import gradio as gr

from apt_core.plots import layer_error, perplexity
from apt_core.records import RunRecord
from apt_core.ui.chart import Chart, drawing
from apt_core.ui.drawn import Drawn
from apt_core.ui.studio import Studio
from apt_core.ui.views.downloads import downloads_block
from apt_core.ui.views.headline import figures, headline
from apt_core.ui.views.progress import status_block
from apt_core.ui.views.tables import layer_table, perplexity_table, provenance, size_panel, warnings_block


_drawn = Drawn()


class Result(NamedTuple):
    """The components of the right column, from top to bottom."""

    note: gr.HTML  # one sentence about the link or the last action, usually empty
    status: gr.HTML
    stop: gr.Button
    headline: gr.HTML
    again: gr.Button  # put the choices of this run into the chooser
    figures: gr.HTML
    layers: Chart
    layer_table: gr.HTML
    perplexity: Chart
    perplexity_table: gr.HTML
    sizes: gr.HTML
    warnings: gr.HTML
    downloads: gr.HTML
    provenance: gr.HTML


class Seen(NamedTuple):
    """What a tab has drawn already; travels with the tab, so that the server keeps nothing about it."""

    run: str = ""
    status: str = ""
    seq: int = -1
    layers: int = -1
    measured: int = -1

    @classmethod
    def of(cls, record: RunRecord) -> Seen:
        layers = len(record.layers) if record.model else -1  # a model that is known widens the empty axis
        return cls(record.id, record.status, record.last_seq, layers, _measured(record))

    @classmethod
    def from_browser(cls, value: Any) -> Seen:
        """Whatever the browser sent, as a Seen; what does not fit counts as not seen."""
        if not isinstance(value, dict):
            return cls()
        run, status = value.get("run"), value.get("status")
        numbers = [value.get(name) for name in ("seq", "layers", "measured")]
        whole = [number if isinstance(number, int) else -1 for number in numbers]
        return cls(run if isinstance(run, str) else "", status if isinstance(status, str) else "", *whole)


def lay_out() -> Result:
    """Draw the column inside the current Blocks context."""
    note = html("note")
    with gr.Row(elem_id="now", equal_height=False):
        status = html("status")
        stop = gr.Button("Stop", variant="stop", size="sm", elem_id="stop", visible=False, scale=0, min_width=72)
    head = html("headline")
    again = gr.Button("Use these choices", size="sm", elem_id="again")
    three = html("figures")
    layers = Chart(elem_id="layer-chart")
    with gr.Accordion("The same numbers as a table", open=False, elem_classes="fold"):
        layer_rows = html("layer-table")
    with gr.Row(elem_id="panels", equal_height=False):
        with gr.Column(min_width=280):
            both = Chart(elem_id="perplexity-chart")
            with gr.Accordion("The same numbers as a table", open=False, elem_classes="fold"):
                both_rows = html("perplexity-table")
        with gr.Column(min_width=280):
            gr.HTML("<h3>Size and speed</h3>", apply_default_css=False)
            sizes = html("sizes")
    warnings = html("warnings")
    downloads = html("downloads")
    with gr.Accordion("How this was made", open=False, elem_classes="fold"):
        made = html("provenance")
    return Result(
        note, status, stop, head, again, three, layers, layer_rows, both, both_rows, sizes, warnings, downloads, made
    )


def html(name: str, value: str = "") -> gr.HTML:
    return gr.HTML(value, elem_id=name, apply_default_css=False, js_on_load=None)


def show(result: Result, studio: Studio, record: RunRecord, seen: Seen | None = None) -> dict[Any, Any]:
    """The updates that bring a tab from `seen` to this record; everything when nothing was seen."""
    title = studio.title(record)
    fresh = seen is None or seen.run != record.id
    changed = fresh or seen.status != record.status
    updates: dict[Any, Any] = {}
    if fresh or record.live or changed:
        updates[result.status] = str(status_block(record, title, time.time(), studio.position(record)))
    if changed:
        updates[result.stop] = gr.update(visible=record.status in ("queued", "running"))
    if changed or seen.seq != record.last_seq:
        updates |= _words(result, studio, record, title)
    if changed or seen.layers != Seen.of(record).layers:
        updates[result.layers], updates[result.layer_table] = _drawn.once(
            ("layers", record.id, record.status, len(record.layers), record.model is None),
            lambda: (drawing(layer_error, record, "layers", "layers.csv"), str(layer_table(record))),
        )
    if changed or seen.measured != _measured(record):
        updates[result.perplexity], updates[result.perplexity_table] = _drawn.once(
            ("perplexity", record.id, record.status, _measured(record)),
            lambda: (drawing(perplexity, record, "perplexity", "results.csv"), str(perplexity_table(record))),
        )
        updates[result.sizes] = str(size_panel(record))
    return updates


def _words(result: Result, studio: Studio, record: RunRecord, title: str) -> dict[Any, Any]:
    return {
        result.headline: str(headline(record, title)),
        result.figures: str(figures(record)),
        result.warnings: str(warnings_block(record)),
        result.downloads: str(downloads_block(record, studio.checkpoint(record.id) is not None)),
        result.provenance: str(provenance(record)),
    }


def _measured(record: RunRecord) -> int:
    return sum(part is not None for part in (record.dense, record.pruned, record.dense_speed, record.pruned_speed))
