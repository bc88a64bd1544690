"""The whole page, assembled; and how it is launched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from apt_core.base.paths import ASSETS, cache_dir, data_dir
from apt_core.ui import arrival, docs, gpu_calls, one_application, server, unread
from apt_core.ui.api import wiring as api
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import compare as compare_tab
from apt_core.ui.tabs import explore as explore_tab
from apt_core.ui.tabs import methods as methods_tab
from apt_core.ui.tabs import models as models_tab
from apt_core.ui.tabs import runs as runs_tab
from apt_core.ui.tabs import sweep as sweep_tab
from apt_core.ui.theme import theme
from apt_core.ui.views.keys_sheet import keys_sheet
from apt_core.ui.views.run_view import ViewState

_HEADER = (
    '<header class="masthead"><h1>APT Studio</h1><p>Prune a language model layer by layer, see what it costs, '
    'read both.</p><button type="button" class="quiet-button" data-tour>Tour</button>'
    '<button type="button" class="quiet-button" data-keys aria-label="Keys and notices" '
    'title="Keys and notices">?</button>'
    '<a class="quiet-button" href="{}" target="_blank" rel="noopener">Docs</a>'
    '<button type="button" class="quiet-button" data-shade>Light / dark</button></header>'
)
_LOOK_EVERY_SECONDS = 0.01  # Gradio looks a thousand times a second, 6% of a core while nobody is there
_MOST_EVENTS = 256  # of all visitors that wait; of one the door lets in a few (door/visitors.py)
_DELETED = "The run that was shown here has been deleted; below is a recorded sample."
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


def build(studio: Studio, call: gpu_calls.Call | None = None) -> gr.Blocks:
    """The page as Gradio Blocks; nothing is launched. call: what works on runs where the page itself has to."""
    with one_application.none_yet():
        return _build(studio, call)


def _build(studio: Studio, call: gpu_calls.Call | None) -> gr.Blocks:
    with gr.Blocks(
        title="APT Studio", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)
    ) as page:
        gr.HTML(_HEADER.format(docs.page_url()) + str(keys_sheet()), apply_default_css=False)
        compared, order = compare_tab.lay_out_address(), runs_tab.lay_out_order()
        with gr.Tabs(selected="explore", elem_id="tabs") as tabs:
            with gr.Tab("Explore", id="explore") as explore_item:
                explore = explore_tab.lay_out(studio.policy)
            with gr.Tab("Compare", id="compare") as compare_item:
                compare = compare_tab.lay_out(compared)
            with gr.Tab("Sweep", id="sweep") as sweep_item:
                sweep = sweep_tab.lay_out()
            with gr.Tab("Runs", id="runs") as runs_item:
                runs = runs_tab.lay_out(order)
            models_item = _models_tab(studio)
            with gr.Tab("Methods", id="methods") as methods_item:
                methods = methods_tab.lay_out()
        explore_tab.wire(explore, studio, page)
        gpu_calls.wire(studio, call, explore.seen, explore.result.note)
        sweep_tab.wire(sweep, sweep_item, explore.chooser, studio)
        items = (explore_item, compare_item, sweep_item, models_item, methods_item)
        others = tuple(item for item in items if item)
        _wire_runs(runs, runs_item, others, tabs, explore, studio)
        compare_tab.wire(compare, studio)
        methods_tab.wire(methods, explore, tabs, studio)
        _wire_compare(compare, tabs, (runs.bar, *sweep.openers), explore, studio)
        arrival.wire(page, explore, compare, sweep, tabs, studio)
        api.wire(studio)
    page.queue(api_open=False, max_size=_MOST_EVENTS, default_concurrency_limit=4)
    page._queue.sleep_when_free = _LOOK_EVERY_SECONDS
    unread.bound(page)
    vars(page._queue)["compute_analytics_summary"] = _sum_up_nothing
    return page


def _sum_up_nothing(records: Any) -> dict[str, Any]:
    """In place of Gradio's own, for a dashboard that is switched off here: a pandas table of the last ten thousand
    events, after every event."""
    return {}


def _models_tab(studio: Studio) -> gr.Tab | None:
    """None on a public host: what visitors have fetched is their own affair."""
    if studio.policy.public:
        return None
    with gr.Tab("Models", id="models") as item:
        models = models_tab.lay_out()
    models_tab.wire(models, item, studio)
    return item


def launch_options(studio: Studio) -> dict[str, Any]:
    """How Gradio serves the page: no telemetry, no monitoring, no history, no files by path, nothing of its own."""
    return {
        "theme": theme(),
        "head": server.head(),
        "app_kwargs": {"docs_url": None, "redoc_url": None, "openapi_url": None},
        "favicon_path": str(ASSETS / "ui" / "favicon.png"),
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": studio.policy.mcp,
        "max_file_size": "10mb",
        "allowed_paths": [],
        "blocked_paths": [str(path) for path in (data_dir(), Path.cwd()) if not _holds_cache(path)],
    }


def _holds_cache(path: Path) -> bool:
    """Whether Gradio's own folder lies inside: blocking that would block its uploads."""
    return cache_dir().resolve().is_relative_to(path.resolve())


def _wire_compare(
    compare: compare_tab.CompareTab,
    tabs: gr.Tabs,
    others: tuple[gr.HTML, ...],
    explore: explore_tab.Explore,
    studio: Studio,
) -> None:
    """Links of the result, of the comparison and of `others` open a run or a comparison."""

    def pressed(event: gr.EventData) -> Any:
        if (chosen := compare_tab.asked_for(event)) is not None:
            return compare_tab.show(compare, studio, chosen) | {tabs: gr.Tabs(selected="compare")}
        action, run_id = runs_tab.asked_for(event)
        if action != "open":
            return gr.skip()
        return explore_tab.arrive(explore, studio, run_id) | {tabs: gr.Tabs(selected="explore")}

    for opener in (*others, compare.compared, *compare.openers):
        opener.click(pressed, None, [*explore.outputs, *compare.outputs, tabs], **_QUIET)


def _wire_runs(
    runs: runs_tab.RunsTab,
    item: gr.Tab,
    others: tuple[gr.Tab, ...],
    tabs: gr.Tabs,
    explore: explore_tab.Explore,
    studio: Studio,
) -> None:
    def opened(run_id: str) -> dict[Any, Any]:
        return explore_tab.arrive(explore, studio, run_id) | {
            tabs: gr.Tabs(selected="explore"),
            runs.timer: gr.Timer(active=False),
        }

    def clicked(event: gr.EventData, seen: Any, *values: Any) -> dict[Any, Any]:
        click = runs_tab.Click.of(event)
        if not click.action:
            return gr.skip()
        if click.action == "open":
            return opened(click.runs[0])
        changed = runs_tab.act(runs, studio, click, runs_tab.View.of(runs, values))
        shown = ViewState.parse(seen).run
        gone = click.action == "delete" and shown in click.runs and not studio.has(shown)
        return changed | (explore_tab.empty(explore, studio, _DELETED) if gone else {})

    def look(*values: Any) -> dict[Any, Any]:
        return runs_tab.refresh(runs, studio, runs_tab.View.of(runs, values))

    def arrived(order: Any, *values: Any) -> dict[Any, Any]:
        return runs_tab.arrive(runs, studio, runs_tab.View.of(runs, values), order)

    runs.find["sort"].input(lambda sort: sort, runs.find["sort"], runs.order, **_QUIET)
    runs.reset.click(lambda: runs_tab.reset(runs), None, [*runs.find.values(), runs.order], **_QUIET).then(
        look, runs.inputs, runs.outputs, **_QUIET
    )
    item.select(arrived, [runs.order, *runs.inputs], runs.outputs, **_QUIET)
    runs.timer.tick(look, runs.inputs, runs.outputs, **_QUIET)
    for part in (runs.table, runs.bar, runs.undo, runs.sheet):
        part.click(clicked, [explore.seen, *runs.inputs], [*runs.outputs, *explore.outputs, tabs], **_QUIET)
    search, *choices = runs.find.values()
    for narrowed in (search.change, *(choice.input for choice in choices)):
        narrowed(look, runs.inputs, runs.outputs, trigger_mode="always_last", **_QUIET)
    for other in others:
        other.select(lambda: gr.Timer(active=False), None, runs.timer, **_QUIET)
