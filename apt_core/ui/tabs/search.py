"""Search: try many smaller models of one size, queued like every run; one that stopped goes on from its population."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from apt_core.jobs import Job, Search, make_value
from apt_core.models.catalogue import terms
from apt_core.models.fetch import hub_token
from apt_core.ui.forms import below
from apt_core.ui.forms.account import token_of
from apt_core.ui.forms.below import Form
from apt_core.ui.forms.fields import put_at
from apt_core.ui.forms.form import ACCEPT, check_terms, open_terms
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.cards import terms_line

_FIRST = ("model", "keep", "minutes")  # the rest is beside one another below
_ASKS_AGAIN = ("model", "keep", "minutes", "generations", "evolution.judge")  # what it takes goes by these


def lay_out(bar: gr.Row) -> Form:
    """Draw the folded section inside the current Blocks context."""
    fields, conditions = below.fields_below(Search), list[gr.HTML]()

    def draw(before: str) -> dict[str, Component]:
        controls = below.drawn(fields["model"], before)
        with gr.Row():
            controls |= below.drawn(fields["keep"], before) | below.drawn(fields["minutes"], before)
        controls |= below.drawn_in_rows((fields[path] for path in fields if path not in _FIRST), before)
        conditions.append(html("search-conditions"))
        controls["terms"] = gr.Checkbox(
            value=False, label=ACCEPT, visible=False, elem_id="search-terms", container=False
        )
        return controls

    titles = "Search for a smaller model", "Search"
    form = below.lay_out(Search, titles, "Go on searching", draw, bar)
    return form._replace(conditions=conditions[0])


def wire(form: Form, studio: Studio, seen: gr.HTML, shown: below.Shown, outputs: list[Component]) -> None:
    """shown: the updates that show a run, once it is queued."""

    def pressed(token: gr.OAuthToken | None, *given: Any) -> dict[Any, Any]:
        with hub_token.of_visitor(token_of(token)):
            return start(form, studio, lambda: job_of(form.values_of(given), studio), shown)

    def asked(model: Any) -> tuple[Any, str]:
        unread = open_terms(model, studio.policy)
        return gr.update(visible=unread is not None, value=False), str(terms_line(unread))

    chosen = form.controls["model"]
    assert isinstance(chosen, gr.Dropdown) and form.conditions is not None
    chosen.change(asked, chosen, [form.controls["terms"], form.conditions], **below.QUIET)
    form.start.click(pressed, form.inputs, outputs, concurrency_limit=4, **below.QUIET)
    below.wire_stopped(form, studio, seen, shown, outputs)
    below.wire_needs(form, seen, _ASKS_AGAIN, lambda _, values: needs_of(values, studio))


def start(form: Form, studio: Studio, job_for: Callable[[], Job], shown: below.Shown) -> dict[Any, Any]:
    """Queue the run and show it; whatever is in the way is a sentence."""

    def agreed(job: Job) -> None:
        terms.accept(job.model.id)  # `job_of` would have refused without the tick

    return below.start(form, studio, job_for, shown, hub_token.handed, agreed)


def needs_of(values: dict[str, Any], studio: Studio) -> str:
    """What the search will take, or why it cannot work."""
    return below.needs_of(lambda: job_of(values | {"terms": True}, studio), studio)


def job_of(values: dict[str, Any], studio: Studio) -> Search:
    """The job of these values; raises BadInput with one sentence."""
    found: dict[str, Any] = {}
    for path, value in below.read(below.fields_below(Search), values, studio).items():
        put_at(found, path, value)
    check_terms(found["model"]["id"], values.get("terms"), studio.policy)
    return make_value(Search, **found)
