"""Search: try many smaller models of one size, queued like every run; one that stopped goes on from its population."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
from gradio.components import Component

from apt_core.base.errors import PruneError
from apt_core.events.records import RunRecord
from apt_core.jobs import Search, make_value
from apt_core.models.catalogue import terms
from apt_core.models.fetch import hub_token
from apt_core.ui.forms import below, checks, choose
from apt_core.ui.forms.account import token_of
from apt_core.ui.forms.controls import CONTROLS
from apt_core.ui.forms.fields import Field, fields_of, put_at
from apt_core.ui.forms.form import ACCEPT, check_terms, open_terms
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.cards import preflight_card, sentence_card, terms_line
from apt_core.ui.views.run_view import ViewState

_UNUSED = frozenset(
    {"evaluation.skip", "resources.weights", "resources.walk", "resources.device", "resources.dtype"}
)
_FIRST = ("model", "keep", "minutes")  # the rest is beside one another below
_START = "search-"  # some of the same fields are on the page already, for pruning
_ASKS_AGAIN = ("model", "keep", "minutes", "generations")  # what it takes goes by these


class SearchForm(NamedTuple):
    """controls: by the paths of the job's fields."""

    section: gr.Accordion
    controls: dict[str, Component]
    conditions: gr.HTML  # where the conditions of use of the chosen model can be read
    start: gr.Button
    needs: gr.HTML
    note: gr.HTML
    go_on: gr.Button

    @property
    def inputs(self) -> list[Component]:
        return list(self.controls.values())

    @property
    def outputs(self) -> list[Any]:
        return [self.needs, self.note, self.go_on]


def lay_out() -> SearchForm:
    """Draw the folded section inside the current Blocks context."""
    fields = _fields()
    controls: dict[str, Component] = {}
    go_on = gr.Button("Go on searching", size="sm", elem_id="search-go-on", visible=False)
    with gr.Accordion(
        "Search for a smaller model", open=False, elem_id="search", elem_classes="fold"
    ) as section:
        controls |= below.drawn(fields["model"], _START)
        with gr.Row():
            controls |= below.drawn(fields["keep"], _START) | below.drawn(fields["minutes"], _START)
        for row in choose.rows(field for path, field in fields.items() if path not in _FIRST):
            with gr.Row():
                for field in row:
                    controls |= below.drawn(field, _START)
        conditions = html("search-conditions")
        controls["terms"] = gr.Checkbox(
            value=False, label=ACCEPT, visible=False, elem_id="search-terms", container=False
        )
        needs = html("search-needs")
        start = gr.Button("Search", elem_id="search-start")
    return SearchForm(section, controls, conditions, start, needs, html("search-note"), go_on)


def wire(
    form: SearchForm,
    studio: Studio,
    seen: gr.HTML,
    shown: Callable[[str], dict[Any, Any]],
    outputs: list[Component],
) -> None:
    """shown: the updates that show a run, once it is queued."""

    def values_of(given: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(form.controls, given, strict=True))

    def pressed(token: gr.OAuthToken | None, *given: Any) -> dict[Any, Any]:
        with hub_token.of_visitor(token_of(token)):
            return start(form, studio, lambda: job_of(values_of(given), studio), shown)

    def asked(model: Any) -> tuple[Any, str]:
        unread = open_terms(model, studio.policy)
        return gr.update(visible=unread is not None, value=False), str(terms_line(unread))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    chosen = form.controls["model"]
    assert isinstance(chosen, gr.Dropdown)
    chosen.change(asked, chosen, [form.controls["terms"], form.conditions], **quiet)
    form.start.click(pressed, form.inputs, outputs, concurrency_limit=4, **quiet)
    form.go_on.click(
        lambda view: start(form, studio, lambda: going_on(ViewState.parse(view).run, studio), shown),
        seen,
        outputs,
        concurrency_limit=4,
        **quiet,
    )
    gr.on(
        [form.section.expand, *(form.controls[path].change for path in _ASKS_AGAIN)],  # type: ignore[attr-defined]
        lambda *given: needs_of(values_of(given), studio),
        form.inputs,
        form.needs,
        concurrency_limit=4,
        **quiet,
    )


def show(form: SearchForm, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """Beside a search that stopped, the button that goes on with it."""
    stopped = isinstance(record.job, Search) and studio.can_go_on(record)
    return {form.go_on: gr.update(visible=stopped), form.needs: "", form.note: ""}


def start(
    form: SearchForm, studio: Studio, job_for: Callable[[], Search], shown: Callable[[str], dict[Any, Any]]
) -> dict[Any, Any]:
    """Queue the run and show it; whatever is in the way is a sentence."""

    def queue() -> str:
        job = job_for()
        facts = checks.facts_for(studio, job.model.id)
        checks.check(studio, job, facts)
        terms.accept(job.model.id)  # `job_of` would have refused without the tick
        return studio.submit([job], hub_token.handed() if facts.needs_account else None)

    return below.queued(form.note, queue, shown)


def needs_of(values: dict[str, Any], studio: Studio) -> str:
    """What the search will take, or why it cannot work."""
    try:
        job = job_of(values | {"terms": True}, studio)
        facts = checks.facts_for(studio, job.model.id)
        return str(preflight_card(checks.needs_of(studio, job, facts)))
    except PruneError as error:
        return str(sentence_card(str(error)))


def job_of(values: dict[str, Any], studio: Studio) -> Search:
    """The job of these values; raises BadInput with one sentence."""
    found: dict[str, Any] = {}
    for path, field in _fields().items():
        put_at(found, path, CONTROLS[field.control].read(field, values, studio.policy))
    check_terms(found["model"]["id"], values.get("terms"), studio.policy)
    return make_value(Search, **found)


def going_on(run_id: str, studio: Studio) -> Search:
    """The same search from where it stopped; raises BadInput where nothing of it was kept."""
    return below.going_on(Search, run_id, studio, "Nothing was kept of this search; start it again.")


def _fields() -> dict[str, Field]:
    return {field.path: field for field in fields_of(Search) if field.path not in _UNUSED}
