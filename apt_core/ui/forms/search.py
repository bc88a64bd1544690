"""The search box of the chooser: models of the Hub by a few letters of their name.

The script of the page waits until somebody has stopped typing; only then a question goes to the Hub.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import PruneError
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.models.fetch import hub_token
from apt_core.models.fetch.hub_search import search
from apt_core.ui.forms.account import token_of
from apt_core.ui.tabs.result import html
from apt_core.ui.views.search_results import SEARCH_BOX, search_results, search_says

_log = logging.getLogger(__name__)


class Search(NamedTuple):
    box: gr.HTML  # says `input` with a query and `select` with the model that was chosen
    results: gr.HTML


def lay_out() -> Search:
    box = gr.HTML(
        SEARCH_BOX,
        elem_id="hub-search",
        apply_default_css=False,
        js_on_load="window.aptStudio.search(element, trigger);",
    )
    return Search(box, html("hub-results"))


def wire(found: Search, model: gr.Dropdown, policy: HostPolicy) -> Any:
    """Returns what follows a choice, so that more can follow."""
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": None,
    }

    def look(token: gr.OAuthToken | None, event: gr.EventData) -> str:
        with hub_token.of_visitor(token_of(token)):
            return answer(_event_text(event, "query"), policy)

    def choose(event: gr.EventData) -> Any:
        return _event_text(event, "model") or gr.skip()

    found.box.input(look, None, found.results, trigger_mode="always_last", **quiet)
    return found.box.select(choose, None, model, **quiet)


def answer(query: str, policy: HostPolicy = STRICT) -> str:
    """The list, or the sentence of whatever went wrong; never raises."""
    try:
        return str(search_results(search(query, policy))) if query.strip() else ""
    except PruneError as error:
        return str(search_says(str(error)))
    except Exception:
        _log.exception("The search failed")
        return str(search_says("The search failed; the log of the app says why."))


def _event_text(event: gr.EventData, name: str) -> str:
    """What the script says with an event; empty for anything that it would not say."""
    data = event._data if isinstance(event._data, dict) else {}
    return str(data.get(name) or "")[:200]
