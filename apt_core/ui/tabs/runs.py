"""The Runs tab: every run that was ever asked for, to find, open, label, stop or delete."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.base.words import STATUS_WORDS
from apt_core.jobs import JOBS
from apt_core.runs.ids import is_run_id
from apt_core.runs.labels import tags_of
from apt_core.runs.query import SORTS, Entry, Query
from apt_core.ui.studio import Studio
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.runs_bars import LABEL_SHEET, TICKED_BAR, pager, undo_bar
from apt_core.ui.views.runs_table import runs_table

PAGE = 50  # rows that are drawn at once
_MOST_TICKED = 2000
_FIRST_ORDER = "newest"
_ACTIONS = ("open", "cancel", "delete", "label", "undo", "page")


class RunsTab(NamedTuple):
    note: gr.HTML
    undo: gr.HTML  # what was deleted a moment ago
    table: gr.HTML
    timer: gr.Timer  # ticks only while this tab is open and something runs
    bar: gr.HTML  # what can be done with the runs that are ticked
    sheet: gr.HTML  # the dialog in which a run is labelled
    find: dict[str, Any]  # the controls, by the fields of a query
    page: gr.State
    order: gr.BrowserState  # as the visitor last chose it
    reset: gr.Button

    @property
    def inputs(self) -> list[Any]:
        return [*self.find.values(), self.page]

    @property
    def outputs(self) -> list[Any]:
        narrowing = [self.find["model"], self.find["sort"]]
        return [self.note, self.undo, self.table, self.timer, self.page, *narrowing]


class View(NamedTuple):
    """What of the list is shown."""

    query: Query = Query()
    page: int = 0

    @classmethod
    def of(cls, tab: RunsTab, values: Sequence[Any]) -> View:
        """From the values of the tab's inputs; whatever they are not is left out."""
        *asked, page = values
        given = {name: value for name, value in zip(tab.find, asked, strict=True) if isinstance(value, str)}
        try:
            query = Query(**given).checked()
        except BadInput:
            query = Query(search=given.get("search", ""))
        return cls(query, page if isinstance(page, int) else 0)


class Click(NamedTuple):
    """What was pressed in the list, its bars or its dialog; empty for anything that is not one."""

    action: str = ""
    runs: tuple[str, ...] = ()
    data: dict[str, Any] = {}  # noqa: RUF012 - never written to

    @classmethod
    def of(cls, event: gr.EventData) -> Click:
        data = event._data if isinstance(event._data, dict) else {}
        action, runs = str(data.get("action", "")), _ids(data.get("runs")) or [str(data.get("run", ""))]
        if action not in _ACTIONS or (action != "page" and not all(map(is_run_id, runs))):
            return cls()
        return cls(action, tuple(runs), data)


def lay_out_order() -> gr.BrowserState:
    """Outside of the tabs: what lies inside of one is not there before it is opened."""
    return gr.BrowserState("", storage_key="apt-studio-order", secret="only-an-order-here")


def lay_out(order: gr.BrowserState) -> RunsTab:
    gr.HTML("<h2>Runs</h2>", apply_default_css=False)
    find, reset = _find()
    note = gr.HTML("", elem_id="runs-note", apply_default_css=False)
    pressed = "window.aptStudio.pressed(element, trigger);"
    undo = gr.HTML("", elem_id="runs-undo", apply_default_css=False, js_on_load=pressed)
    bar = gr.HTML(
        TICKED_BAR,
        elem_id="compare-bar",
        apply_default_css=False,
        js_on_load="window.aptStudio.compareBar(element, trigger);",
    )
    table = gr.HTML(
        "", elem_id="runs", apply_default_css=False, js_on_load="window.aptStudio.runs(element, trigger);"
    )
    sheet = gr.HTML(
        LABEL_SHEET,
        elem_id="label-sheet",
        apply_default_css=False,
        js_on_load="window.aptStudio.labelSheet(element, trigger);",
    )
    return RunsTab(
        note, undo, table, gr.Timer(2.0, active=False), bar, sheet, find, gr.State(0), order, reset
    )


def _find() -> tuple[dict[str, Any], gr.Button]:
    """A control for each field of a query that the page asks for; a tag is searched as #tag."""
    with gr.Row(elem_id="runs-find"):
        search = gr.Textbox(
            label="Search",
            placeholder="Name, model, method, text, #tag",
            max_length=200,
            max_lines=1,
            elem_id="runs-search",
        )
        states = [(words.capitalize(), status) for status, words in STATUS_WORDS.items()]
        kinds = [(kind.title, name) for name, kind in JOBS.items()]
        orders = [(sort.title, name) for name, sort in SORTS.items()]
        find: dict[str, Any] = {
            "search": search,
            "status": _choice("Status", [("Any", ""), *states]),
            "model": _choice("Model", [("Any", "")]),
            "kind": _choice("Kind", [("Any", ""), *kinds]),
            "sort": _choice("Order", orders, _FIRST_ORDER),
        }
        reset = gr.Button("Show all", size="sm", elem_id="runs-reset", scale=0, min_width=90)
    return find, reset


def _choice(label: str, choices: list[tuple[str, str]], value: str = "") -> gr.Dropdown:
    name = label.lower()
    return gr.Dropdown(choices, value=value, label=label, min_width=120, elem_id=f"runs-{name}")


def recall(order: Any) -> str:
    """The order that the visitor last chose, where there is such a one."""
    return order if isinstance(order, str) and order in SORTS else _FIRST_ORDER


def reset(tab: RunsTab) -> dict[Any, Any]:
    """All runs in the first order, and no other remembered."""
    return {component: "" for component in tab.find.values()} | {
        tab.find["sort"]: _FIRST_ORDER,
        tab.order: "",
    }


def refresh(tab: RunsTab, studio: Studio, view: View = View(), note: str = "") -> dict[Any, Any]:  # noqa: B008
    """The list as it is now: one page of what is asked for."""
    found, every = studio.runs_found(view.query)
    last = max(0, (len(found) - 1) // PAGE)
    page = min(max(0, view.page), last)
    shown = found[page * PAGE : (page + 1) * PAGE]
    hidden = studio.hidden()
    return {
        tab.note: str(sentence_card(note)) if note else "",
        tab.undo: str(undo_bar(hidden)),
        tab.table: str(_table(studio, shown, bool(every)) + pager(page, PAGE, len(found))),
        tab.timer: gr.Timer(active=bool(hidden) or any(entry.run.live for entry in every)),
        tab.page: page,
    }


def arrive(tab: RunsTab, studio: Studio, view: View, order: Any = None) -> dict[Any, Any]:
    """The list in the order that the visitor last chose, and the models that it can be narrowed to."""
    titles = sorted({entry.run.title for entry in studio.runs_found(Query())[1]}, key=str.casefold)
    kept = view.query.model if view.query.model in titles else ""
    choices = gr.update(choices=[("Any", ""), *((title, title) for title in titles)], value=kept)
    sort = recall(order)
    narrowed = view._replace(query=view.query.model_copy(update={"model": kept, "sort": sort}))
    return refresh(tab, studio, narrowed) | {tab.find["model"]: choices, tab.find["sort"]: sort}


def _table(studio: Studio, shown: list[Entry], any_at_all: bool) -> Any:
    records = studio.readable([entry.run.id for entry in shown])
    labels = {entry.run.id: entry.labels for entry in shown}
    return runs_table(
        records,
        studio.title,
        time.time(),
        lambda run_id: studio.checkpoint(run_id) is not None,
        labels,
        searched=any_at_all,
    )


def act(tab: RunsTab, studio: Studio, click: Click, view: View = View()) -> dict[Any, Any]:  # noqa: B008
    """Do what was pressed, then show the list again; a refusal is a sentence above it."""
    try:
        match click.action:
            case "cancel":
                studio.cancel(click.runs[0])
            case "delete":
                studio.delete(click.runs)
            case "undo":
                studio.restore(click.runs)
            case "label":
                studio.label(click.runs[0], **_written(click.data))
            case "page":
                view = view._replace(page=_number(click.data.get("page")))
    except PruneError as error:
        return refresh(tab, studio, view, str(error))
    return refresh(tab, studio, view)


def _written(data: dict[str, Any]) -> dict[str, Any]:
    """What the dialog sent."""
    return {
        "name": str(data.get("name", "")),
        "tags": tags_of(str(data.get("tags", ""))),
        "note": str(data.get("note", "")),
        "pinned": data.get("pinned") is True,
    }


def _ids(text: Any) -> list[str]:
    """'ID,ID' -> the ids, as many as anybody can tick."""
    return [part for part in str(text or "")[: 32 * _MOST_TICKED].split(",") if part]


def _number(value: Any) -> int:
    return int(value) if str(value).isdecimal() else 0


def asked_for(event: gr.EventData) -> tuple[str, str]:
    """(action, run id) of a click on one run; empty strings for anything that is not one."""
    click = Click.of(event)
    known = click.action in ("open", "cancel", "delete") and len(click.runs) == 1
    return (click.action, click.runs[0]) if known else ("", "")
