"""Measure on other texts: the perplexity of what a run made, or of any other model, queued like every run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
from gradio.components import Component

from apt_core.base.errors import BadInput, PruneError
from apt_core.events.records import RunRecord
from apt_core.jobs import Evaluate, make_value
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.models.catalogue import terms
from apt_core.models.catalogue.entries import list_models, title_of
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.models.fetch import hub_token
from apt_core.runs.owners import Action
from apt_core.ui.forms import checks
from apt_core.ui.forms.account import token_of
from apt_core.ui.forms.controls import CONTROLS, text_choices
from apt_core.ui.forms.fields import Field, fields_of
from apt_core.ui.forms.form import ACCEPT, check_terms, open_terms
from apt_core.ui.forms.uploads import text_for
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.cards import sentence_card, terms_line

_log = logging.getLogger(__name__)
_TEXT = "evaluation.text"  # chosen from a list of several here
_UNUSED = {"resources.walk"}  # of the calibration windows, which are not read here
_START = "measure-"  # the same fields are on the page already, for pruning


class Measuring(NamedTuple):
    """`controls`: by the paths of the job's fields; that of the text holds several."""

    controls: dict[str, Component]
    terms: gr.HTML  # where the conditions of use of the chosen model can be read
    start: gr.Button
    note: gr.HTML

    @property
    def inputs(self) -> list[Component]:
        return list(self.controls.values())


def lay_out() -> Measuring:
    """Draw the folded section inside the current Blocks context."""
    fields = _fields()
    with gr.Accordion("Measure on another text", open=False, elem_id="measure", elem_classes="fold"):
        controls: dict[str, Component] = {
            "model": gr.Dropdown(
                choices=_models(None),
                value=None,
                allow_custom_value=True,
                label=fields["model"].label,
                info="What this run made, a model of the list, or a Hub id",
                elem_id="measure-model",
            ),
            _TEXT: gr.Dropdown(
                choices=text_choices(),
                value=[],
                multiselect=True,
                allow_custom_value=True,
                label="Texts",
                info="One or several, also datasets of the Hub such as hub:owner/name",
                elem_id="measure-texts",
            ),
        }
        with gr.Row():
            for field in fields.values():
                if field.path not in controls:
                    controls |= _drawn(field)
        conditions = html("measure-conditions")
        controls["terms"] = gr.Checkbox(
            value=False, label=ACCEPT, visible=False, elem_id="measure-terms", container=False
        )
        start = gr.Button("Measure", elem_id="measure-start")
        note = html("measure-note")
    return Measuring(controls, conditions, start, note)


def wire(
    measuring: Measuring, studio: Studio, shown: Callable[[str], dict[Any, Any]], outputs: list[Component]
) -> None:
    """shown: the updates that show a run, once it is queued."""

    def pressed(token: gr.OAuthToken | None, *given: Any) -> dict[Any, Any]:
        with hub_token.of_visitor(token_of(token)):
            return start(measuring, studio, dict(zip(measuring.controls, given, strict=True)), shown)

    def asked(model: Any) -> tuple[Any, str]:
        unread = open_terms(model, studio.policy)
        return gr.update(visible=unread is not None, value=False), str(terms_line(unread))

    chosen = measuring.controls["model"]
    assert isinstance(chosen, gr.Dropdown)
    chosen.change(
        asked,
        chosen,
        [measuring.controls["terms"], measuring.terms],
        show_progress="hidden",
        api_visibility="private",
    )
    measuring.start.click(
        pressed,
        measuring.inputs,
        outputs,
        concurrency_limit=4,
        show_progress="hidden",
        api_visibility="private",
    )


def show(measuring: Measuring, studio: Studio, record: RunRecord) -> dict[Any, Any]:
    """The section beside this run: its own model comes first."""
    made = studio.checkpoint(record.id) is not None and record.status == "finished"
    made = made and studio.may(Action.BUILD_ON, record)
    name = f"{RUN_PREFIX}{record.id}" if made else record.job.model.id
    if made:
        label = f"{studio.title(record)} ({record.job.label}), this run"
    else:
        label = studio.title(record) if record.made_from else title_of(name)
    choices = _models((label, name))
    return {measuring.controls["model"]: gr.update(choices=choices, value=name), measuring.note: ""}


def start(
    measuring: Measuring,
    studio: Studio,
    values: dict[str, Any],
    shown: Callable[[str], dict[Any, Any]],
) -> dict[Any, Any]:
    """Measure was pressed: queue the run and show it; whatever is in the way is a sentence."""
    try:
        job = job_of(values, studio)
        facts = checks.facts_for(studio, job.model.id)
        checks.check(studio, job, facts)
        terms.accept(job.model.id)  # `job_of` would have refused without the tick
        return {measuring.note: ""} | shown(studio.submit([job], _token(facts)))
    except PruneError as error:
        return {measuring.note: str(sentence_card(str(error)))}
    except Exception:
        _log.exception("The run could not be started")
        said = "The run could not be started; the log of the app says why."
        return {measuring.note: str(sentence_card(said))}


def job_of(values: dict[str, Any], studio: Studio) -> Evaluate:
    """The job of these values, one evaluation for each text; raises BadInput with one sentence."""
    fields = _fields()
    read = {
        path: CONTROLS[field.control].read(field, values, studio.policy)
        for path, field in fields.items()
        if path in values and path != _TEXT
    }
    texts = values.get(_TEXT)
    if not texts or not isinstance(texts, list | tuple):
        raise BadInput("Choose at least one text.")
    most = Evaluate.model_json_schema()["properties"]["evaluation"]["maxItems"]
    if len(texts) > most:
        raise BadInput(f"Choose at most {most} texts.")
    check_terms(read["model"]["id"], values.get("terms"), studio.policy)
    windows = _inside(read, "evaluation")
    visitor = studio.visitor
    evaluation = [windows | {"text": text_for(text, visitor)} for text in dict.fromkeys(map(str, texts))]
    groups = {name: _inside(read, name) for name in ("rounding", "tasks", "resources")}
    return make_value(Evaluate, model=read["model"], evaluation=evaluation, **groups)


def _token(facts: ModelFacts) -> str | None:
    """The visitor's, where the worker must ask the Hub in the name of whoever started the run."""
    return hub_token.handed() if facts.members_only and not facts.cached else None


def _fields() -> dict[str, Field]:
    return {field.path: field for field in fields_of(Evaluate) if field.path not in _UNUSED}


def _inside(read: dict[str, Any], group: str) -> dict[str, Any]:
    start = f"{group}."
    return {path.removeprefix(start): value for path, value in read.items() if path.startswith(start)}


def _drawn(field: Field) -> dict[str, Component]:
    """As in the chooser, under ids of their own."""
    drawn = CONTROLS[field.control].draw(field)
    for component in drawn.values():
        component.elem_id = f"{_START}{component.elem_id}"
    return drawn


def _models(first: tuple[str, str] | None) -> list[tuple[str, str]]:
    known = [(entry["title"], entry["name"]) for entry in list_models()]
    return [first, *(choice for choice in known if choice[1] != first[1])] if first else known
