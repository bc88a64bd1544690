"""Recover: train what the shown run pruned, queued like every run; a recovery that stopped goes on from its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
from gradio.components import Component

from apt_core.base.errors import BadInput, PruneError
from apt_core.events.records import RunRecord
from apt_core.jobs import Recover, make_value
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.ui.forms import below, checks, choose
from apt_core.ui.forms.controls import CONTROLS
from apt_core.ui.forms.fields import Field, fields_of, value_at
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.cards import preflight_card, sentence_card
from apt_core.ui.views.run_view import ViewState

# The model is what the shown run made; weights are in memory, as training needs them.
_UNUSED = frozenset(
    {"model", "evaluation.skip", "resources.weights", "resources.walk", "resources.device", "resources.dtype"}
)
_FIRST = ("method", "training.text", "optimiser_steps")  # the rest is beside one another below
_START = "recover-"  # some of the same fields are on the page already, for pruning
_NOTHING = "Nothing was kept of this training; start the recovery again."
_ASKS_AGAIN = (
    "method",
    "optimiser_steps",
    "training.length",
    "training.batch",
)  # what it takes goes by these


class Recovering(NamedTuple):
    """controls: by the paths of the job's fields."""

    section: gr.Accordion
    controls: dict[str, Component]
    start: gr.Button
    needs: gr.HTML
    note: gr.HTML
    go_on: gr.Button
    finish: gr.Button

    @property
    def inputs(self) -> list[Component]:
        return list(self.controls.values())

    @property
    def outputs(self) -> list[Any]:
        evaluated = [control for path, control in self.controls.items() if path.startswith("evaluation.")]
        return [self.section, *evaluated, self.needs, self.note, self.go_on, self.finish]


def lay_out() -> Recovering:
    """Draw the folded section inside the current Blocks context."""
    fields = _fields()
    controls: dict[str, Component] = {}
    go_on = gr.Button("Go on training", size="sm", elem_id="recover-go-on", visible=False)
    finish = gr.Button("Finish with what was reached", size="sm", elem_id="recover-finish", visible=False)
    with gr.Accordion(
        "Recover by training", open=False, visible=False, elem_id="recover", elem_classes="fold"
    ) as section:
        for path in _FIRST:
            controls |= below.drawn(fields[path], _START)
        for row in choose.rows(field for path, field in fields.items() if path not in _FIRST):
            with gr.Row():
                for field in row:
                    controls |= below.drawn(field, _START)
        needs = html("recover-needs")
        start = gr.Button("Recover", elem_id="recover-start")
    return Recovering(section, controls, start, needs, html("recover-note"), go_on, finish)


def wire(
    recovering: Recovering,
    studio: Studio,
    seen: gr.HTML,
    shown: Callable[[str], dict[Any, Any]],
    outputs: list[Component],
) -> None:
    """shown: the updates that show a run, once it is queued."""

    def values_of(given: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(recovering.controls, given, strict=True))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    recovering.start.click(
        lambda view, *given: start(
            recovering, studio, lambda: job_of(ViewState.parse(view).run, values_of(given), studio), shown
        ),
        [seen, *recovering.inputs],
        outputs,
        concurrency_limit=4,
        **quiet,
    )
    for button, job_from in ((recovering.go_on, going_on), (recovering.finish, finished_early)):
        button.click(
            lambda view, job_from=job_from: start(
                recovering, studio, lambda: job_from(ViewState.parse(view).run, studio), shown
            ),
            seen,
            outputs,
            concurrency_limit=4,
            **quiet,
        )
    gr.on(
        [recovering.section.expand, *(recovering.controls[path].change for path in _ASKS_AGAIN)],  # type: ignore[attr-defined]
        lambda view, *given: needs_of(ViewState.parse(view).run, values_of(given), studio),
        [seen, *recovering.inputs],
        recovering.needs,
        concurrency_limit=4,
        **quiet,
    )


def show(recovering: Recovering, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """The section beside a run that made a model: measured on the texts that the run was measured on."""
    made = record.status == "finished" and studio.checkpoint(record.id) is not None
    evaluated = {
        recovering.controls[path]: gr.update(value=shown)
        for path, field in _fields().items()
        if path.startswith("evaluation.")
        for shown in CONTROLS[field.control].write(field, value_at(record.job, path)).values()
    }
    return {
        recovering.section: gr.update(visible=made),
        recovering.go_on: gr.update(visible=isinstance(record.job, Recover) and studio.can_go_on(record)),
        recovering.finish: gr.update(visible=studio.step_reached(record) > 0),
        recovering.needs: "",
        recovering.note: "",
        **evaluated,
    }


def start(
    recovering: Recovering,
    studio: Studio,
    job_for: Callable[[], Recover],
    shown: Callable[[str], dict[Any, Any]],
) -> dict[Any, Any]:
    """Queue the run and show it; whatever is in the way is a sentence."""

    def queue() -> str:
        job = job_for()
        checks.check(studio, job, checks.facts_for(studio, job.model.id))
        return studio.submit([job])

    return below.queued(recovering.note, queue, shown)


def needs_of(run_id: str, values: dict[str, Any], studio: Studio) -> str:
    """What the recovery will take, or why it cannot work; nothing while a choice cannot be read."""
    try:
        job = job_of(run_id, values, studio)
        facts = checks.facts_for(studio, job.model.id)
        return str(preflight_card(checks.needs_of(studio, job, facts)))
    except PruneError as error:
        return str(sentence_card(str(error)))


def job_of(run_id: str, values: dict[str, Any], studio: Studio) -> Recover:
    """The job of these values for what a run made; raises BadInput with one sentence."""
    if studio.is_sample(run_id):
        raise BadInput("The weights of a recorded sample are not kept; prune the model first.")
    found: dict[str, Any] = {"model": {"id": f"{RUN_PREFIX}{run_id}"}}
    for path, field in _fields().items():
        outer, _, last = path.rpartition(".")
        inside = found.setdefault(outer, {}) if outer else found
        inside[last] = CONTROLS[field.control].read(field, values, studio.policy)
    return make_value(Recover, **found)


def going_on(run_id: str, studio: Studio) -> Recover:
    """The same recovery from where it stopped; raises BadInput where nothing of it was kept."""
    return below.going_on(Recover, run_id, studio, _NOTHING)


def finished_early(run_id: str, studio: Studio) -> Recover:
    """The same recovery with the steps that were done alone: it merges, stores and measures what was reached."""
    reached = studio.step_reached(studio.record(run_id))
    if not reached:
        raise BadInput(_NOTHING)
    return below.going_on(Recover, run_id, studio, _NOTHING, optimiser_steps=reached)


def _fields() -> dict[str, Field]:
    return {field.path: field for field in fields_of(Recover) if field.path not in _UNUSED}
