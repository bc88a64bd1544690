"""The Models tab: what was downloaded and converted, and a way to delete it. Not on a public host."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from apt_core.base.errors import BadInput, PruneError
from apt_core.base.words import size
from apt_core.models.fetch.cache_list import list_cached
from apt_core.runs import models_in_use
from apt_core.ui.forms import checks
from apt_core.ui.studio import Studio
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.models_table import models_table


class ModelsTab(NamedTuple):
    note: gr.HTML
    table: gr.HTML


def lay_out() -> ModelsTab:
    gr.HTML(
        "<h2>Models on this machine</h2><p class='lead'>What runs have fetched. Deleting one frees its room; "
        "the next run that needs it fetches it again.</p>",
        apply_default_css=False,
    )
    note = gr.HTML("", elem_id="models-note", apply_default_css=False)
    table = gr.HTML(
        "", elem_id="models", apply_default_css=False, js_on_load="window.aptStudio.runs(element, trigger);"
    )
    return ModelsTab(note, table)


def wire(tab: ModelsTab, item: gr.Tab, studio: Studio) -> None:
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": None,
    }

    def clicked(event: gr.EventData) -> dict[Any, Any]:
        data = event._data if isinstance(event._data, dict) else {}
        wants_it_gone = data.get("action") == "delete"
        return delete(tab, studio, str(data.get("model", ""))) if wants_it_gone else refresh(tab, studio)

    item.select(lambda: refresh(tab, studio), None, list(tab), **quiet)
    tab.table.click(clicked, None, list(tab), **quiet)


def refresh(tab: ModelsTab, studio: Studio, note: str = "") -> dict[Any, Any]:
    """The table as it is now."""
    return {
        tab.note: str(sentence_card(note)) if note else "",
        tab.table: str(models_table(list_cached(), models_in_use.in_use(studio.store))),
    }


def delete(tab: ModelsTab, studio: Studio, name: str) -> dict[Any, Any]:
    """Remove a model, then show the table again; what happened is a sentence above it."""
    try:
        if studio.policy.public:
            raise BadInput("On this public page models belong to everybody, so nobody can delete them.")
        freed = models_in_use.remove(studio.store, name)
    except PruneError as error:
        return refresh(tab, studio, str(error))
    checks.forget()
    return refresh(tab, studio, f"{name} is deleted; {size(freed)} are free again.")
