"""The Compare tab: runs beside one another, opened by ticks in the list of runs, from a race, or by `?compare=`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import PruneError
from apt_core.plots import charts
from apt_core.plots.chart import Chart
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import law
from apt_core.ui.tabs.law import LawSection
from apt_core.ui.tabs.result import html, section
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.compare_view import COMPARED, NOTHING, compare_parts, ids_of

_LINKING = ("head", "paired", "outcomes")  # parts whose links open a run or another comparison


class CompareTab(NamedTuple):
    """The components, by the names of the parts."""

    parts: dict[str, gr.HTML]
    note: gr.HTML
    compared: gr.HTML  # which runs; its script keeps the address in step
    law: LawSection

    @property
    def openers(self) -> list[gr.HTML]:
        """The parts whose links open a run, or another comparison."""
        return [self.parts[name] for name in _LINKING]

    @property
    def outputs(self) -> list[Any]:
        return [*self.parts.values(), self.note, self.compared, *self.law.outputs]


def lay_out(compared: gr.HTML) -> CompareTab:
    """Draw the tab inside the current Blocks context. compared: of `lay_out_address`, outside the tabs."""
    shown: dict[str, gr.HTML] = {}
    note = html("compare-note")
    with gr.Column(elem_id="compare"):
        for name in ("head", "paired", "outcomes", "fields"):
            shown[name] = html(f"compare-{name}", opens=name in _LINKING)
        shown["head"].value = NOTHING
        for one in _charts():
            shown |= section(one, COMPARED)
        of_recoveries = law.lay_out("compare-")
        shown["downloads"] = html("compare-downloads")
    return CompareTab(shown, note, compared, of_recoveries)


def wire(tab: CompareTab, studio: Studio) -> None:
    law.wire(tab.law, studio, tab.compared, compared_in)


def compared_in(value: Any) -> list[str]:
    """The runs that the address part says are compared."""
    runs = value.get("runs") if isinstance(value, dict) else None
    return ids_of(",".join(map(str, runs))) if isinstance(runs, list) else []


def lay_out_address() -> gr.HTML:
    """Nothing to see: which runs are compared, for the script that keeps the address in step."""
    return gr.HTML(
        {},
        html_template="",
        js_on_load="window.aptStudio.compared(props, watch, trigger);",
        elem_id="compared",
        apply_default_css=False,
    )


def show(tab: CompareTab, studio: Studio, run_ids: Sequence[str]) -> dict[Any, Any]:
    """The comparison of these runs; what cannot be compared is one sentence, and what was shown stays."""
    try:
        runs = studio.compared(run_ids)
    except PruneError as error:
        return {tab.note: str(sentence_card(str(error)))}
    updates: dict[Any, Any] = {tab.parts[name]: value for name, value in compare_parts(studio, runs).items()}
    of_recoveries = law.show(tab.law, studio, runs.members)
    return updates | of_recoveries | {tab.note: "", tab.compared: {"runs": [run.id for run in runs.members]}}


def asked_for(event: gr.EventData) -> list[str] | None:
    """The runs of a click that asks for a comparison, None for any other click."""
    data = event._data if isinstance(event._data, dict) else {}
    return ids_of(data.get("runs")) if data.get("action") == "compare" else None


def _charts() -> tuple[Chart, ...]:
    return charts(compare=True)
