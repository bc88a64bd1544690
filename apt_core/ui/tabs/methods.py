"""The Methods tab: what each method does, from the registry, and "Try it", which leads to where it is asked for."""

from __future__ import annotations

from typing import Any

import gradio as gr

from apt_core.base.errors import PruneError
from apt_core.base.patterns import Unstructured
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune, make_value
from apt_core.methods import COMPONENTS
from apt_core.methods.registry import RECOVERIES
from apt_core.models.catalogue.entries import DEFAULT_MODEL
from apt_core.studies.law_runs import recoveries_of
from apt_core.ui.forms.form import write
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.explore import Explore
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.methods_page import methods_page
from apt_core.ui.views.run_view import ViewState

_RECOVER_FIRST = (
    "Training is offered below a run that has finished and has its weights; prune a model, or open one."
)
_LAW_FIRST = "The law needs the curve of a recovery; train what a run pruned, below that run, then open either of them."
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


def lay_out() -> gr.HTML:
    return gr.HTML(
        str(methods_page()),
        elem_id="methods",
        apply_default_css=False,
        js_on_load="window.aptStudio.tries(element, trigger);",
    )


def wire(methods: gr.HTML, explore: Explore, tabs: gr.Tabs, studio: Studio) -> None:
    """A press of "Try it" puts the choice in and opens the Explore tab; the script then leads to the place."""

    def pressed(view: Any, event: gr.EventData) -> Any:
        what = wanted(event)
        return tried(explore, studio, what, view) | {tabs: gr.Tabs(selected="explore")} if what else gr.skip()

    recovering, law = explore.recovering, explore.law
    outputs = [*explore.chooser.inputs, recovering.section, recovering.controls["method"], law.section]
    methods.click(
        pressed,
        explore.seen,
        [*outputs, explore.searching.section, explore.result.note, tabs],
        **_QUIET,
    ).then(None, None, None, js="() => window.aptStudio.tried()", api_visibility="private")


def wanted(event: gr.EventData) -> str:
    """'recovery:spp' of a press of "Try it", nothing of any other click."""
    data = event._data if isinstance(event._data, dict) else {}
    return str(data.get("what") or "")[:200] if data.get("action") == "try" else ""


def tried(explore: Explore, studio: Studio, what: str, view: Any) -> dict[Any, Any]:
    """The updates that put a choice in where it belongs; why it cannot be tried yet is a sentence."""
    place, _, name = what.partition(":")
    if name in COMPONENTS.get(place, {}):
        return _component(explore, place, name)
    if place == "search":
        return {explore.searching.section: gr.update(open=True), explore.result.note: ""}
    record = _shown(studio, view)
    if place == "recovery" and name in RECOVERIES:
        return _recovery(explore, studio, name, record)
    if place == "law":
        return _law(explore, studio, record)
    return {}


def _component(explore: Explore, slot: str, name: str) -> dict[Any, Any]:
    """Wanda with this component in its slot; for an allocation no N:M, which would leave it nothing to decide."""
    method = {"name": "wanda", slot: {"name": name}}
    half = Unstructured(sparsity=0.5)
    job = make_value(Prune, model={"id": DEFAULT_MODEL}, method=method, pattern=half)
    parts = ("method", "pattern") if slot == "allocation" else ("method",)
    values = {path: value for path, value in write(job).items() if path.partition(".")[0] in parts}
    controls = explore.chooser.controls
    return {controls[path]: value for path, value in values.items() if path in controls} | {
        explore.result.note: ""
    }


def _recovery(explore: Explore, studio: Studio, name: str, record: RunRecord | None) -> dict[Any, Any]:
    recovering = explore.recovering
    chosen = {recovering.controls["method"]: name}
    if record is None or record.status != "finished" or studio.checkpoint(record.id) is None:
        return chosen | {explore.result.note: str(sentence_card(_RECOVER_FIRST))}
    return chosen | {recovering.section: gr.update(open=True), explore.result.note: ""}


def _law(explore: Explore, studio: Studio, record: RunRecord | None) -> dict[Any, Any]:
    if record is None or not any(one.steps for one in recoveries_of([record], studio.made_from)):
        return {explore.result.note: str(sentence_card(_LAW_FIRST))}
    return {explore.law.section: gr.update(open=True), explore.result.note: ""}


def _shown(studio: Studio, view: Any) -> RunRecord | None:
    try:
        return studio.record(ViewState.parse(view).run)
    except PruneError:
        return None
