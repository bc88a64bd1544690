"""The left rail: what to prune, how much, how, on which text; and whether that can work here.

The controls are drawn from the schema of the job. What this file decides is where the specials go; every other
field is drawn under "Options", also one that nobody here has heard of.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import gradio as gr
from gradio.components import Component

from apt_core.base.errors import BadInput, GatedModel, NotAModel, PruneError, UnknownModel
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.jobs import Job, Prune
from apt_core.methods import METHODS, STRUCTURED
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.fetch import hub_token
from apt_core.texts.sources import FALLBACK_TEXT
from apt_core.ui.forms import account, checks, layer_shares, missing, options, search, uploads
from apt_core.ui.forms.controls import CONTROLS, draw_options, text_choices
from apt_core.ui.forms.differs import differs
from apt_core.ui.forms.fields import Field, element_id, fields_of
from apt_core.ui.forms.form import ACCEPT, jobs_of, open_terms, write
from apt_core.ui.forms.presets import DEFAULT_PRESET, FIRST_PATTERN, NUMBERS, PRESETS, method_of, preset_of
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.cards import bundled_text_line, facts_line, preflight_card, sentence_card
from apt_core.ui.views.command import command_block
from apt_core.ui.views.html import Markup, join

_log = logging.getLogger(__name__)
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
_ABOVE = ("model", "pattern")  # what people think of first has a place of its own
_FIRST = ("calibration", "evaluation", "method", "seed", "resources")  # the folded part begins with these
_TEXTS = ("calibration.text", "evaluation.text")
_IN_A_ROW = 4


class Chooser(NamedTuple):
    """The components of the rail. `controls`: by the paths of the job's fields, and what is not of the job."""

    kind: type[Prune]
    controls: dict[str, Component]
    preset: gr.Radio
    upload: gr.UploadButton
    upload_note: gr.HTML
    facts: gr.HTML
    preflight: gr.HTML
    prune: gr.Button
    command: gr.HTML
    search: search.Search
    shares: layer_shares.ShowShares
    differs: gr.HTML  # where the choices are not those of the run that is shown
    account: account.Account | None  # None where visitors sign in with Hugging Face's button, or cannot

    @property
    def inputs(self) -> list[Component]:
        return list(self.controls.values())

    @property
    def checked(self) -> list[Component]:
        """What a check of the choices can change."""
        return [self.facts, self.controls["terms"], self.preflight, self.prune, self.command, *self.shares]

    def values(self, given: Iterable[Any]) -> dict[str, Any]:
        """Path -> value, of the values of `inputs`."""
        return dict(zip(self.controls, given, strict=True))

    def of(self, paths: Iterable[str]) -> list[Any]:
        return [self.controls[path] for path in paths]


def lay_out(policy: HostPolicy, kind: type[Prune] = Prune) -> Chooser:
    """Draw the rail inside the current Blocks context."""
    fields = {field.path: field for field in _with_preset(fields_of(kind))}
    shares = layer_shares.ShowShares.undrawn()
    with gr.Column(elem_id="choose"):
        controls = _draw(fields["model"])
        hub_search = search.lay_out()
        facts = html("facts")
        controls["terms"] = gr.Checkbox(
            value=False, label=ACCEPT, visible=False, elem_id="terms", container=False
        )
        controls |= _draw(fields["pattern"])
        gr.HTML(_MORE, elem_id="more-methods", apply_default_css=False)
        controls |= _draw(fields["method"])
        gr.HTML(str(_method_sentences()), elem_id="method-says", apply_default_css=False)
        preset = gr.Radio(
            choices=[(entry.title, name) for name, entry in PRESETS.items()],
            value=DEFAULT_PRESET,
            label="Calibration",
            elem_id="preset",
            elem_classes="segmented",
        )
        with gr.Accordion("Options", open=False, elem_id="advanced", elem_classes="fold"):
            controls["rivals"] = _rivals()
            drawn, upload, upload_note = _advanced(tuple(fields.values()), shares)
            controls |= drawn
            hub_account = account.lay_out(policy)
        with gr.Column(elem_id="go"):  # stays in view while the rest of the rail scrolls
            differing = html("differs")
            preflight = html("preflight")
            prune = gr.Button("Prune", variant="primary", size="lg", elem_id="prune", interactive=False)
        with gr.Accordion("Same run from the command line or from Python", open=False, elem_classes="fold"):
            command = html("command")
    return Chooser(
        *(kind, controls, preset, upload, upload_note, facts, preflight, prune, command, hub_search),
        *(shares, differing, hub_account),
    )


def wire(chooser: Chooser, studio: Studio, page: gr.Blocks) -> None:
    """The rail keeps itself up to date: presets, uploads, and preflight after every change."""
    _wire_texts(chooser, studio)
    _wire_presets(chooser)
    options.wire(
        chooser.controls["method.name"],
        [control for path, control in chooser.controls.items() if _is_option(path)],
    )
    checked = checked_for_visitor(chooser, studio)
    for signed_in in account.wire(chooser.account, page) if chooser.account else ():
        signed_in.then(checked, chooser.inputs, chooser.checked, **_QUIET)

    def changed(token: gr.OAuthToken | None, *given: Any) -> dict[Any, Any]:
        shown = compare(chooser, studio, chooser.values(given), studio.streams.shown())
        return checked(token, *given) | shown

    page.load(checked, chooser.inputs, chooser.checked, **_QUIET)
    inputs: list[Any] = chooser.inputs
    gr.on(
        [component.change for component in inputs],
        changed,
        chooser.inputs,
        [*chooser.checked, chooser.differs],
        trigger_mode="always_last",  # a burst of changes is checked twice: first and last
        **_QUIET,
    )


def checked_for_visitor(chooser: Chooser, studio: Studio) -> Callable[..., dict[Any, Any]]:
    """`check` as an event handler: the Hub is asked in the visitor's name."""

    def handler(token: gr.OAuthToken | None, *given: Any) -> dict[Any, Any]:
        with hub_token.of_visitor(account.token_of(token)):
            return check(chooser, studio, chooser.values(given))

    return handler


def check(chooser: Chooser, studio: Studio, values: dict[str, Any]) -> dict[Any, Any]:
    """What preflight says of these choices; whatever is wrong with them is a sentence in the card."""
    shown, model = Markup(""), values.get("model")
    asks = {chooser.controls["terms"]: gr.update(visible=open_terms(model, studio.policy) is not None)}
    try:
        facts = checks.facts_for(studio, model)
        shown = facts_line(facts)
        if facts.source == "bundled" and values.get("calibration.text") == FALLBACK_TEXT:
            shown += bundled_text_line()
        jobs = jobs_of(chooser.kind, values, studio.policy)
        estimate = checks.estimate_of(studio, jobs, facts)
    except PruneError as error:
        return asks | _refused(chooser, str(error), shown, element_of(error))
    except Exception:
        _log.exception("Preflight failed")
        said = "This could not be checked; the log of the app says why."
        return asks | _refused(chooser, said, facts=shown)
    return asks | {
        chooser.facts: str(shown),
        chooser.preflight: str(preflight_card(estimate, len(jobs))),
        chooser.prune: gr.update(interactive=estimate.refusal is None),
        chooser.command: str(command_block(jobs, studio.policy)),
        chooser.shares.show: gr.update(interactive=estimate.refusal is None),
        chooser.shares.says: layer_shares.says(studio, jobs[0], facts),
    }


def compare(chooser: Chooser, studio: Studio, values: dict[str, Any], run_id: str) -> dict[Any, Any]:
    """Say whether these choices are those of the shown run."""
    return {chooser.differs: differs(studio, chooser.kind, values, run_id)}


def fill(chooser: Chooser, job: Job, policy: HostPolicy = STRICT) -> dict[Any, Any]:
    """The updates that make the rail ask for this job, alone; a job of another kind fills what they share.

    On a public host nobody is handed the name of a text that somebody else brought: with it they could use it.
    """
    values = write(job)
    if policy.public:
        values = {path: value for path, value in values.items() if not _is_brought(value)}
    updates = {chooser.controls[path]: value for path, value in values.items() if path in chooser.controls}
    for path in _TEXTS:
        if path in values:
            extra = values[path] if _is_brought(values[path]) else None
            updates[chooser.controls[path]] = gr.update(choices=text_choices(extra), value=values[path])
    return updates | {chooser.controls["rivals"]: [], chooser.preset: preset_of(values)}


def _is_brought(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(uploads.PREFIX)


def texts_for(model: Any, text: Any, eval_text: Any, replaced: Any) -> tuple[Any, Any, Any]:
    """Both texts for a model that was just chosen, and which ones were replaced for its sake.

    With the bundled model nothing has to be fetched at all; with another one the replaced texts come back.
    """
    entry = CATALOGUE.get(str(model or "").strip())
    if entry is not None and entry.source == "bundled":
        absent = missing.texts_to_come(str(text), str(eval_text))
        kept = tuple(chosen if chosen in absent else None for chosen in (text, eval_text))
        first, second = (FALLBACK_TEXT if chosen in absent else gr.skip() for chosen in (text, eval_text))
        return first, second, kept
    chosen = zip((text, eval_text), replaced, strict=True)
    first, second = (old if old and now == FALLBACK_TEXT else gr.skip() for now, old in chosen)
    return first, second, (None, None)


# ---- drawing


def _draw(field: Field) -> dict[str, Component]:
    return CONTROLS[field.control].draw(field)


def _with_preset(fields: Iterable[Field]) -> list[Field]:
    """The first look starts with the numbers of its preset and a mild sparsity, not with what the schema says."""
    first: dict[str, Any] = {**PRESETS[DEFAULT_PRESET].values, "pattern": FIRST_PATTERN}
    return [field._replace(default=first.get(field.path, field.default)) for field in fields]


def _advanced(
    fields: tuple[Field, ...], shares: layer_shares.ShowShares
) -> tuple[dict[str, Component], gr.UploadButton, gr.HTML]:
    """Every field that has no place of its own: narrow ones share rows. The upload follows the first text."""
    controls: dict[str, Component] = {}
    below = {"allocation": shares.render}
    for row in rows(field for field in sorted(fields, key=_place) if field.path not in _ABOVE):
        with gr.Row() if len(row) > 1 else nullcontext():
            for field in row:
                controls |= draw_options("method", below) if field.path == "method" else _draw(field)
        if row[0].path == _TEXTS[0]:
            upload, note = _upload()
    return controls, upload, note


def rows(fields: Iterable[Field]) -> Iterator[list[Field]]:
    """Narrow fields of one part that follow one another share a row, at most four; any other has one to itself."""
    for (narrow, _), group in groupby(
        fields, key=lambda field: (CONTROLS[field.control].narrow, field.group)
    ):
        alike = list(group)
        width = _IN_A_ROW if narrow else 1
        yield from (alike[start : start + width] for start in range(0, len(alike), width))


def _place(field: Field) -> int:
    """Where in the folded part; the sort keeps the order of the schema within a place."""
    top = field.path.split(".")[0]
    return _FIRST.index(top) if top in _FIRST else len(_FIRST)


def _upload() -> tuple[gr.UploadButton, gr.HTML]:
    button = gr.UploadButton("Use my own text (UTF-8, up to 10 MB)", size="sm", elem_id="upload")
    return button, html("upload-note", known=True)


def _rivals() -> gr.CheckboxGroup:
    return gr.CheckboxGroup(
        choices=[(cls.title, name) for name, cls in METHODS.items()],
        value=[],
        label="Run other methods too",
        info=_RACE,
        elem_id="rivals",
        elem_classes="chips",
    )


def _method_sentences() -> Markup:
    """All sentences; css shows the one of the chosen method."""
    return join(
        Markup('<p class="says says-{}">{}</p>').format(name, cls.summary)
        for name, cls in (*METHODS.items(), *STRUCTURED.items())
    )


# ---- wiring


def _wire_texts(chooser: Chooser, studio: Studio) -> None:
    """A bundled model brings its text; an upload becomes a choice."""
    model: Any = chooser.controls["model"]
    texts = [*chooser.of(_TEXTS), gr.State((None, None))]
    model.input(texts_for, [model, *texts], texts, **_QUIET)
    found = search.wire(chooser.search, model, studio.policy)
    found.then(texts_for, [model, *texts], texts, **_QUIET)
    taken = partial(_take_upload, studio)
    chooser.upload.upload(taken, chooser.upload, [*chooser.of(_TEXTS), chooser.upload_note], **_QUIET)


def _wire_presets(chooser: Chooser) -> None:
    """A preset sets the numbers and brings its method; other numbers are no preset."""
    numbers: list[Any] = chooser.of(NUMBERS)
    method = chooser.controls["method.name"]
    chooser.preset.input(_taken, [chooser.preset, method], [*numbers, method], **_QUIET)
    gr.on(
        [number.input for number in numbers],
        lambda *given: preset_of(dict(zip(NUMBERS, given, strict=True))),
        numbers,
        chooser.preset,
        trigger_mode="always_last",
        **_QUIET,
    )


def _taken(name: str, method: str) -> tuple[Any, ...]:
    """The numbers of a preset, and its method."""
    preset = PRESETS.get(name, PRESETS[DEFAULT_PRESET])
    return *preset.numbers, method_of(str(name), str(method))


def element_of(error: PruneError) -> str:
    """The id of the control that a refusal speaks of, empty where it is of none alone."""
    about_model = isinstance(error, UnknownModel | NotAModel | GatedModel)
    return element_id(error.field or ("model" if about_model else ""))


def _is_option(path: str) -> bool:
    return path.startswith("method.") and path != "method.name"


def _refused(chooser: Chooser, message: str, facts: Markup, element: str = "") -> dict[Any, Any]:
    return {
        chooser.facts: str(facts),
        chooser.preflight: str(sentence_card(message, element)),
        chooser.prune: gr.update(interactive=False),
        chooser.command: str(command_block([])),
        chooser.shares.show: gr.update(interactive=False),
        chooser.shares.says: "",
    }


@contextmanager
def _taken_away(path: str) -> Iterator[None]:
    """Gradio's own copy of an uploaded file goes, whether it was kept or refused."""
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(path)


def _take_upload(studio: Studio, path: str | None) -> tuple[Any, Any, str]:
    """An uploaded text becomes a choice of both lists, and the one that calibrates."""
    if not path:
        return gr.skip(), gr.skip(), ""
    try:
        with _taken_away(path):
            token = studio.keep_upload(path)
    except BadInput as error:
        return gr.skip(), gr.skip(), str(sentence_card(str(error)))
    except OSError:
        said = "The text could not be stored; the disk may be full."
        return gr.skip(), gr.skip(), str(sentence_card(said))
    choices = text_choices(token)
    return gr.update(choices=choices, value=token), gr.update(choices=choices), ""


_MORE = (
    '<button type="button" class="beside-label" data-all-methods aria-expanded="false">'
    f"All {len(METHODS) + len(STRUCTURED)} methods</button>"
)
_RACE = "One press queues a run for each, on the same text, and draws their curves together"
