"""Forms below the result (recover, search): a job of their own kind, drawn beside the chooser and queued like it.

A run of such a kind that stopped has two buttons: one goes on with it, one makes a model of what it had reached.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import gradio as gr
from gradio.components import Component

from apt_core.base.errors import BadInput, PruneError
from apt_core.events.records import RunRecord
from apt_core.jobs import Job, make_job
from apt_core.ui.forms import checks, choose
from apt_core.ui.forms.controls import CONTROLS
from apt_core.ui.forms.fields import Field, fields_of
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.cards import preflight_card, sentence_card
from apt_core.ui.views.run_view import ViewState

Kind = TypeVar("Kind", bound=Job)
Shown = Callable[[str], dict[Any, Any]]  # the updates that show a run, once it is queued
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_RESOURCES = frozenset({"resources.weights", "resources.walk", "resources.device", "resources.dtype"})
_UNUSED = _RESOURCES | {"evaluation.skip"}
_log = logging.getLogger(__name__)


class Form(NamedTuple):
    """The folded section of one kind of job. controls: by the paths of the job's fields. conditions: where those of the
    chosen model can be read, in a form that asks for a model."""

    kind: type[Job]
    section: gr.Accordion
    controls: dict[str, Component]
    start: gr.Button
    needs: gr.HTML
    note: gr.HTML
    go_on: gr.Button
    finish: gr.Button
    conditions: gr.HTML | None = None

    @property
    def inputs(self) -> list[Component]:
        return list(self.controls.values())

    @property
    def outputs(self) -> list[Any]:
        evaluated = [control for path, control in self.controls.items() if path.startswith("evaluation.")]
        return [self.section, *evaluated, self.needs, self.note, self.go_on, self.finish]

    def values_of(self, given: tuple[Any, ...]) -> dict[str, Any]:
        """Path -> value, of what a browser sends for `inputs`."""
        return dict(zip(self.controls, given, strict=True))


def fields_below(kind: type[Job], without: frozenset[str] = frozenset()) -> dict[str, Field]:
    """The fields that such a form asks for, by their paths. What it computes on is left to the machine."""
    return {field.path: field for field in fields_of(kind) if field.path not in _UNUSED | without}


def lay_out(
    kind: type[Job],
    titles: tuple[str, str],
    go_on: str,
    draw: Callable[[str], dict[str, Component]],
    bar: gr.Row,
    visible: bool = True,
) -> Form:
    """Draw the folded section inside the current Blocks context.

    titles: of the section, and of the button that starts. draw: puts the controls in, given what their ids begin with;
    some of the same fields are on the page already, for pruning. bar: where the buttons of a stopped run go.
    """
    name = str(kind.model_fields["kind"].default)
    with bar:
        going_on = gr.Button(go_on, size="sm", elem_id=f"{name}-go-on", visible=False)
        finish = gr.Button("Keep the result so far", size="sm", elem_id=f"{name}-finish", visible=False)
    title, press = titles
    with gr.Accordion(title, open=False, visible=visible, elem_id=name, elem_classes="fold") as section:
        controls = draw(f"{name}-")
        needs = html(f"{name}-needs")
        start = gr.Button(press, elem_id=f"{name}-start")
    return Form(kind, section, controls, start, needs, html(f"{name}-note"), going_on, finish)


def drawn(field: Field, before: str) -> dict[str, Component]:
    """As in the chooser, under ids of their own. before: what these begin with."""
    found = CONTROLS[field.control].draw(field)
    for component in found.values():
        component.elem_id = f"{before}{component.elem_id}"
    return found


def drawn_in_rows(fields: Iterable[Field], before: str) -> dict[str, Component]:
    """Beside one another, as far as they are narrow."""
    controls: dict[str, Component] = {}
    for row in choose.rows(fields):
        with gr.Row():
            for field in row:
                controls |= drawn(field, before)
    return controls


def wire_stopped(form: Form, studio: Studio, seen: gr.HTML, shown: Shown, outputs: list[Component]) -> None:
    """The buttons beside a run that stopped."""
    for button, job_from in ((form.go_on, going_on), (form.finish, finished_early)):
        button.click(
            lambda view, job_from=job_from: start(
                form, studio, lambda: job_from(form.kind, ViewState.parse(view).run, studio), shown
            ),
            seen,
            outputs,
            concurrency_limit=4,
            **QUIET,
        )


def wire_needs(
    form: Form, seen: gr.HTML, paths: Iterable[str], needs: Callable[[str, dict[str, Any]], str]
) -> None:
    """What the job takes is said anew when the section opens and when one of these fields changes.

    needs: of (the shown run, the values).
    """
    gr.on(
        [form.section.expand, *(form.controls[path].change for path in paths)],  # type: ignore[attr-defined]
        lambda view, *given: needs(ViewState.parse(view).run, form.values_of(given)),
        [seen, *form.inputs],
        form.needs,
        trigger_mode="always_last",  # or what changed while one was asked would not be said
        concurrency_limit=4,
        **QUIET,
    )


def show_stopped(form: Form, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """The buttons beside a run of this kind that stopped; nothing is said of another run any more."""
    own = isinstance(record.job, form.kind)
    return {
        form.go_on: gr.update(visible=own and studio.can_go_on(record)),
        form.finish: gr.update(visible=own and bool(studio.bounds_reached(record))),
        form.needs: "",
        form.note: "",
    }


def start(
    form: Form,
    studio: Studio,
    job_for: Callable[[], Job],
    shown: Shown,
    token: Callable[[], str | None] = lambda: None,
    agreed: Callable[[Job], None] = lambda job: None,
) -> dict[Any, Any]:
    """Queue the run and show it; whatever is in the way is a sentence.

    token: the visitor's, handed on where the model is not for everybody. agreed: called once nothing is in the way.
    """
    try:
        job = job_for()
        facts = checks.facts_for(studio, job.model.id)
        checks.check(studio, job, facts)
        agreed(job)
        return {form.note: ""} | shown(studio.submit([job], token() if facts.needs_account else None))
    except PruneError as error:
        return {form.note: str(sentence_card(str(error)))}
    except Exception:
        _log.exception("The run could not be started")
        said = "The run could not be started; the log of the app says why."
        return {form.note: str(sentence_card(said))}


def needs_of(job_for: Callable[[], Job], studio: Studio) -> str:
    """What the job will take, or why it cannot work."""
    try:
        job = job_for()
        facts = checks.facts_for(studio, job.model.id)
        return str(preflight_card(checks.needs_of(studio, job, facts)))
    except PruneError as error:
        return str(sentence_card(str(error)))


def going_on(kind: type[Kind], run_id: str, studio: Studio, **changes: Any) -> Kind:
    """The same job from where it stopped, but for `changes`; raises BadInput where nothing of it was kept, NotYours
    where it is another visitor's."""
    studio.check_may_resume(run_id)
    record = studio.record(run_id)
    if not isinstance(record.job, kind) or not studio.can_go_on(record):
        raise _nothing(kind)
    again = make_job(**record.job.model_dump() | {"resume": run_id} | changes)
    assert isinstance(again, kind)
    return again


def finished_early(kind: type[Kind], run_id: str, studio: Studio) -> Kind:
    """The same job with what was reached alone: it makes its model of that, stores and measures it."""
    studio.check_may_resume(run_id)
    reached = studio.bounds_reached(studio.record(run_id))
    if not reached:
        raise _nothing(kind)
    return going_on(kind, run_id, studio, **reached)


def read(fields: Mapping[str, Field], values: Mapping[str, Any], studio: Studio) -> dict[str, Any]:
    """Path -> what the job is given; raises BadInput with one sentence."""
    return {
        path: CONTROLS[field.control].read(field, values, studio.policy) for path, field in fields.items()
    }


def _nothing(kind: type[Job]) -> BadInput:
    return BadInput(f"Nothing was kept of this run; start the {kind.called} again.")
