"""The Runs tab: every run that was ever asked for, to open, stop or delete."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.runs.ids import is_run_id
from apt_core.ui.studio import Studio
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.runs_table import COMPARE_BAR, runs_table

_LIMIT = 200


class RunsTab(NamedTuple):
    note: gr.HTML
    table: gr.HTML
    timer: gr.Timer  # ticks only while this tab is open and something runs
    bar: gr.HTML  # the button that compares the runs that are ticked

    @property
    def outputs(self) -> list[Any]:
        return [self.note, self.table, self.timer]


def lay_out() -> RunsTab:
    gr.HTML("<h2>Runs</h2>", apply_default_css=False)
    note = gr.HTML("", elem_id="runs-note", apply_default_css=False)
    bar = gr.HTML(
        COMPARE_BAR,
        elem_id="compare-bar",
        apply_default_css=False,
        js_on_load="window.aptStudio.compareBar(element, trigger);",
    )
    table = gr.HTML(
        "", elem_id="runs", apply_default_css=False, js_on_load="window.aptStudio.runs(element, trigger);"
    )
    return RunsTab(note, table, gr.Timer(2.0, active=False), bar)


def refresh(tab: RunsTab, studio: Studio, note: str = "") -> dict[Any, Any]:
    """The table as it is now."""
    records = studio.store.list(limit=_LIMIT)
    return {
        tab.note: str(sentence_card(note)) if note else "",
        tab.table: str(
            runs_table(
                records, studio.title, time.time(), lambda run_id: studio.checkpoint(run_id) is not None
            )
        ),
        tab.timer: gr.Timer(active=any(record.live for record in records)),
    }


def act(tab: RunsTab, studio: Studio, action: str, run_id: str) -> dict[Any, Any]:
    """Stop or delete a run, then show the table again; a refusal is a sentence above it."""
    try:
        if action == "cancel":
            studio.cancel(run_id)
        elif action == "delete" and studio.policy.public:
            raise BadInput("On this public page runs belong to everybody, so nobody can delete them.")
        elif action == "delete":
            studio.delete(run_id)
    except PruneError as error:
        return refresh(tab, studio, str(error))
    return refresh(tab, studio)


def asked_for(event: gr.EventData) -> tuple[str, str]:
    """(action, run id) of a click in the table; empty strings for anything that is not one."""
    data = event._data if isinstance(event._data, dict) else {}
    action, run_id = str(data.get("action", "")), str(data.get("run", ""))
    known = action in ("open", "cancel", "delete") and is_run_id(run_id)
    return (action, run_id) if known else ("", "")
