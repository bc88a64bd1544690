"""Forms below the result (recover, search): a job of their own kind, drawn beside the chooser and queued like it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr
from gradio.components import Component

from apt_core.base.errors import BadInput, PruneError
from apt_core.jobs import Job, make_job
from apt_core.ui.forms.controls import CONTROLS
from apt_core.ui.forms.fields import Field
from apt_core.ui.studio import Studio
from apt_core.ui.views.cards import sentence_card

Kind = TypeVar("Kind", bound=Job)
_log = logging.getLogger(__name__)


def drawn(field: Field, before: str) -> dict[str, Component]:
    """As in the chooser, under ids of their own. before: what these begin with."""
    found = CONTROLS[field.control].draw(field)
    for component in found.values():
        component.elem_id = f"{before}{component.elem_id}"
    return found


def queued(note: gr.HTML, queue: Callable[[], str], shown: Callable[[str], dict[Any, Any]]) -> dict[Any, Any]:
    """Queue a run and show it; whatever is in the way is a sentence. queue: gives the run's id."""
    try:
        return {note: ""} | shown(queue())
    except PruneError as error:
        return {note: str(sentence_card(str(error)))}
    except Exception:
        _log.exception("The run could not be started")
        said = "The run could not be started; the log of the app says why."
        return {note: str(sentence_card(said))}


def going_on(kind: type[Kind], run_id: str, studio: Studio, nothing: str, **changes: Any) -> Kind:
    """The same job from where it stopped, but for `changes`; raises BadInput with `nothing` where nothing of it was
    kept, NotYours where it is another visitor's."""
    studio.check_may_resume(run_id)
    record = studio.record(run_id)
    if not isinstance(record.job, kind) or not studio.can_go_on(record):
        raise BadInput(nothing)
    again = make_job(**record.job.model_dump() | {"resume": run_id} | changes)
    assert isinstance(again, kind)
    return again
