"""Recover: train what the shown run pruned, queued like every run; a recovery that stopped goes on from its state."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord
from apt_core.jobs import Recover, make_value
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.ui.forms import below
from apt_core.ui.forms.below import Form
from apt_core.ui.forms.controls import CONTROLS
from apt_core.ui.forms.fields import Field, put_at, value_at
from apt_core.ui.studio import Studio
from apt_core.ui.views.run_view import ViewState

_FIRST = ("method", "training.text", "optimiser_steps")  # the rest is beside one another below
# What it takes goes by these.
_ASKS_AGAIN = ("method", "optimiser_steps", "training.length", "training.batch")


def lay_out(bar: gr.Row) -> Form:
    """Draw the folded section inside the current Blocks context."""
    fields = _fields()

    def draw(before: str) -> dict[str, Component]:
        controls: dict[str, Component] = {}
        for path in _FIRST:
            controls |= below.drawn(fields[path], before)
        return controls | below.drawn_in_rows((fields[path] for path in fields if path not in _FIRST), before)

    titles = "Recover by training", "Recover"
    return below.lay_out(Recover, titles, "Resume training", draw, bar, visible=False)


def wire(form: Form, studio: Studio, seen: gr.HTML, shown: below.Shown, outputs: list[Component]) -> None:
    """shown: the updates that show a run, once it is queued."""
    form.start.click(
        lambda view, *given: below.start(
            form, studio, lambda: job_of(ViewState.parse(view).run, form.values_of(given), studio), shown
        ),
        [seen, *form.inputs],
        outputs,
        concurrency_limit=4,
        **below.QUIET,
    )
    below.wire_stopped(form, studio, seen, shown, outputs)
    below.wire_needs(form, seen, _ASKS_AGAIN, lambda run_id, values: needs_of(run_id, values, studio))


def show(form: Form, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """The section beside a run that made a model: measured on the texts that the run was measured on."""
    made = record.status == "finished" and studio.checkpoint(record.id) is not None
    evaluated = {
        form.controls[path]: gr.update(value=shown)
        for path, field in _fields().items()
        if path.startswith("evaluation.")
        for shown in CONTROLS[field.control].write(field, value_at(record.job, path)).values()
    }
    stopped = below.show_stopped(form, studio, record)
    return stopped | evaluated | {form.section: gr.update(visible=made)}


def needs_of(run_id: str, values: dict[str, Any], studio: Studio) -> str:
    """What the recovery will take, or why it cannot work."""
    return below.needs_of(lambda: job_of(run_id, values, studio), studio)


def job_of(run_id: str, values: dict[str, Any], studio: Studio) -> Recover:
    """The job of these values for what a run made; raises BadInput with one sentence."""
    if studio.is_sample(run_id):
        raise BadInput("The weights of a recorded sample are not kept; prune the model first.")
    found: dict[str, Any] = {"model": {"id": f"{RUN_PREFIX}{run_id}"}}
    for path, value in below.read(_fields(), values, studio).items():
        put_at(found, path, value)
    return make_value(Recover, **found)


def _fields() -> dict[str, Field]:
    """The model is what the shown run made."""
    return below.fields_below(Recover, frozenset({"model"}))
