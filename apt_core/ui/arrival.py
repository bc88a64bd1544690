"""A visitor arrives: what the address and the browser ask for beyond the sample that the page opens with.

Gradio brings every output of an event into the page one after the other, changed or not, and that was half of the time
until the first chart. So one small event finds out what this visitor wants, and only that is brought.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from apt_core.ui import initial
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import compare as compare_tab
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import sweep as sweep_tab
from apt_core.ui.views.compare_view import ids_of

_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


def wire(
    page: gr.Blocks,
    explore: explore_tab.Explore,
    compare: compare_tab.CompareTab,
    sweep: sweep_tab.SweepTab,
    tabs: gr.Tabs,
    studio: Studio,
) -> None:
    """Inside the Blocks context of `page`. Each wish is a state of its own, which brings what it names by changing."""
    run, choices, study, compared = (gr.State(None) for _ in range(4))
    initial.write(explore_tab.empty(explore, studio))

    def look(last: Any, remembered: Any, request: gr.Request) -> dict[Any, Any]:
        asked = dict(request.query_params)
        wanted = explore_tab.wanted(studio, asked.get("run") or asked.get("present"), last)
        return {
            run: wanted or None,
            choices: {"run": wanted, "own": remembered} if wanted or remembered else None,
            study: asked.get("study"),
            compared: None if asked.get("study") else _compared(asked),
        }

    def show_choices(wish: Any) -> dict[Any, Any]:
        return explore_tab.recall(explore, studio, wish["run"], wish["own"])

    def show_study(wish: Any) -> dict[Any, Any]:
        return sweep_tab.show(sweep, studio, wish) | {tabs: gr.Tabs(selected="sweep")}

    def show_compared(wish: Any) -> dict[Any, Any]:
        return compare_tab.show(compare, studio, ids_of(wish)) | {tabs: gr.Tabs(selected="compare")}

    page.load(look, [explore.last_run, explore.choices], [run, choices, study, compared], **_QUIET)
    run.change(lambda wish: explore_tab.arrive(explore, studio, wish), run, explore.outputs, **_QUIET)
    choices.change(show_choices, choices, explore.chosen, **_QUIET)
    study.change(show_study, study, [*sweep.shown, tabs], **_QUIET)
    compared.change(show_compared, compared, [*compare.outputs, tabs], **_QUIET)


def _compared(asked: Mapping[str, str]) -> str | None:
    """The runs that the address names for comparison; beside another tab it only says what that one compared last."""
    return asked.get("compare") if asked.get("tab", "compare") == "compare" else None
