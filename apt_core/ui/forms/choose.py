"""The left rail: what to prune, how much, how, on which text; and whether that can work here."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import gradio as gr
from gradio.components import Component

from apt_core.base.errors import BadInput, PruneError
from apt_core.base.policy import HostPolicy
from apt_core.jobs.recipe import Recipe
from apt_core.methods import METHODS
from apt_core.models.catalogue.entries import CATALOGUE, DEFAULT_MODEL, list_models
from apt_core.models.fetch import hub_token
from apt_core.texts.sources import FALLBACK_TEXT, TEXTS
from apt_core.ui.forms import account, checks, missing, options, search, uploads
from apt_core.ui.forms.form import CUSTOM, PATTERNS, Form, form_of, open_terms, recipes_of
from apt_core.ui.forms.presets import DEFAULT_PRESET, PRESETS, method_of, preset_of
from apt_core.ui.studio import Studio
from apt_core.ui.tabs.result import html
from apt_core.ui.views.cards import bundled_text_line, facts_line, preflight_card, sentence_card
from apt_core.ui.views.command import command_block
from apt_core.ui.views.html import Markup, join, term

_log = logging.getLogger(__name__)


class Chooser(NamedTuple):
    """The components of the rail. `inputs` are the form and then the options, in one order."""

    form: Form  # of components
    controls: list[Component]
    keys: options.Keys
    preset: gr.Radio
    upload: gr.UploadButton
    upload_note: gr.HTML
    facts: gr.HTML
    preflight: gr.HTML
    prune: gr.Button
    command: gr.HTML
    search: search.Search
    account: account.Account | None  # None where visitors sign in with Hugging Face's button, or cannot

    @property
    def inputs(self) -> list[Component]:
        return [*self.form, *self.controls]


def lay_out(policy: HostPolicy) -> Chooser:
    """Draw the rail inside the current Blocks context."""
    preset = PRESETS[DEFAULT_PRESET]
    with gr.Column(elem_id="choose"):
        model = gr.Dropdown(
            choices=[(entry["title"], entry["name"]) for entry in list_models()],
            value=DEFAULT_MODEL,
            allow_custom_value=True,
            label="Model",
            info="Or type a Hub id, such as owner/name",
            elem_id="model",
        )
        hub_search = search.lay_out()
        facts = html("facts")
        terms = gr.Checkbox(value=False, label=_ACCEPT, visible=False, elem_id="terms", container=False)
        with gr.Column(elem_id="how-much"):
            kind = gr.Radio(
                choices=[("N:M pattern", "n:m"), ("Unstructured", "unstructured")],
                value="n:m",
                label="How much goes",
                elem_id="kind",
                elem_classes="segmented",
            )
            pattern = gr.Radio(
                choices=[*((name, name) for name in PATTERNS), ("Custom", CUSTOM)],
                value=PATTERNS[0],
                label="Pattern",
                show_label=False,
                elem_id="pattern",
                elem_classes="chips",
            )
            with gr.Row(elem_id="custom-pattern"):
                keep = gr.Number(value=2, label="Keep N", min_width=80, elem_id="keep")
                of = gr.Number(value=4, label="of every M (up to 16)", min_width=80, elem_id="of")
            sparsity = gr.Slider(
                0, 99, value=50, step=1, label="Weights to remove, %", buttons=[], elem_id="sparsity"
            )
            gr.HTML(_HOW_MUCH, elem_id="how-much-note", apply_default_css=False)
        method = gr.Radio(
            choices=[(cls.title, name) for name, cls in METHODS.items()],
            value=next(iter(METHODS)),
            label="Method",
            elem_id="method",
            elem_classes="chips",
        )
        gr.HTML(str(_method_sentences()), elem_id="method-says", apply_default_css=False)
        preset_choice = gr.Radio(
            choices=[(entry.title, name) for name, entry in PRESETS.items()],
            value=DEFAULT_PRESET,
            label="How much text it reads",
            elem_id="preset",
            elem_classes="segmented",
        )
        with gr.Accordion("Race other methods", open=False, elem_id="race-others", elem_classes="fold"):
            gr.HTML(_RACE, apply_default_css=False)
            rivals = gr.CheckboxGroup(
                choices=[(cls.title, name) for name, cls in METHODS.items()],
                value=[],
                label="Methods to race",
                show_label=False,
                elem_id="rivals",
                elem_classes="chips",
            )
        with gr.Accordion("Text, samples and options", open=False, elem_id="advanced", elem_classes="fold"):
            with gr.Row():
                text = gr.Dropdown(
                    choices=text_choices(),
                    value=_first_text(),
                    allow_custom_value=True,
                    label="Calibration text",
                    info="From the list, or a dataset of the Hub such as hub:owner/name",
                    elem_id="text",
                )
            upload = gr.UploadButton(
                "Use my own text (UTF-8, up to 10 MB)",
                file_types=[".txt", ".md", "text"],
                size="sm",
                elem_id="upload",
            )
            upload_note = html("upload-note")
            with gr.Row():
                samples = gr.Number(value=preset.samples, label="Samples", min_width=80, elem_id="samples")
                length = gr.Number(value=preset.length, label="Tokens each", min_width=80, elem_id="length")
            eval_text = gr.Dropdown(
                choices=text_choices(),
                value=_first_text(),
                allow_custom_value=True,
                label="Evaluation text",
                elem_id="eval-text",
            )
            with gr.Row():
                eval_samples = gr.Number(
                    value=preset.eval_samples, label="Windows", min_width=80, elem_id="eval-samples"
                )
                eval_length = gr.Number(
                    value=preset.eval_length, label="Tokens each", min_width=80, elem_id="eval-length"
                )
            controls, keys = options.draw_controls()
            with gr.Row():
                seed = gr.Number(value=0, label="Seed", min_width=80, elem_id="seed")
                device = gr.Dropdown(
                    choices=["auto", "cpu", "cuda", "mps"],
                    value="auto",
                    label="Device",
                    filterable=False,
                    min_width=80,
                )
                dtype = gr.Dropdown(
                    choices=["auto", "float32", "bfloat16"],
                    value="auto",
                    label="Precision",
                    filterable=False,
                    min_width=80,
                )
                weights = gr.Dropdown(
                    choices=["auto", "memory", "disk"],
                    value="auto",
                    label="Weights",
                    filterable=False,
                    min_width=80,
                )
            optional_layers = gr.Checkbox(
                value=False, label="Optional layers", info=_OPTIONAL, elem_id="optional-layers"
            )
        hub_account = account.lay_out(policy)
        with gr.Column(elem_id="go"):  # stays in view while the rest of the rail scrolls
            preflight = html("preflight")
            prune = gr.Button("Prune", variant="primary", size="lg", elem_id="prune", interactive=False)
        with gr.Accordion("Same run from the command line", open=False, elem_classes="fold"):
            command = html("command")
    form = Form(
        model, kind, pattern, keep, of, sparsity, method, text, samples, length,
        eval_text, eval_samples, eval_length, seed, device, dtype, weights, optional_layers,
        rivals, terms,
    )  # fmt: skip
    return Chooser(
        form, controls, keys, preset_choice, upload, upload_note, facts, preflight, prune, command,
        hub_search, hub_account,
    )  # fmt: skip


def wire(chooser: Chooser, studio: Studio, page: gr.Blocks) -> None:
    """The rail keeps itself up to date: presets, uploads, and preflight after every change."""
    numbers = [chooser.form.samples, chooser.form.length, chooser.form.eval_samples, chooser.form.eval_length]
    quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    texts = [chooser.form.text, chooser.form.eval_text, gr.State((None, None))]
    chooser.form.model.input(texts_for, [chooser.form.model, *texts], texts, **quiet)
    found = search.wire(chooser.search, chooser.form.model)
    found.then(texts_for, [chooser.form.model, *texts], texts, **quiet)
    checked = checked_for_visitor(chooser, studio)
    for signed_in in account.wire(chooser.account, page) if chooser.account else ():
        signed_in.then(checked, chooser.inputs, checked_outputs(chooser), **quiet)
    chooser.preset.input(
        _taken, [chooser.preset, chooser.form.method], [*numbers, chooser.form.method], **quiet
    )
    gr.on(
        [number.input for number in numbers],
        lambda *values: _preset_of(*values),
        numbers,
        chooser.preset,
        trigger_mode="always_last",
        **quiet,
    )
    options.wire(chooser.form.method, chooser.controls)
    chooser.upload.upload(
        _take_upload,
        chooser.upload,
        [chooser.form.text, chooser.form.eval_text, chooser.upload_note],
        **quiet,
    )
    gr.on(
        [page.load, *(component.change for component in chooser.inputs)],
        checked,
        chooser.inputs,
        checked_outputs(chooser),
        trigger_mode="always_last",  # a burst of changes is checked twice: first and last
        **quiet,
    )


def checked_outputs(chooser: Chooser) -> list[Component]:
    return [chooser.facts, chooser.form.terms, chooser.preflight, chooser.prune, chooser.command]


def checked_for_visitor(chooser: Chooser, studio: Studio) -> Any:
    """`check` as an event handler: the Hub is asked in the visitor's name."""

    def handler(token: gr.OAuthToken | None, *values: Any) -> dict[Any, Any]:
        with hub_token.of_visitor(account.token_of(token)):
            return check(chooser, studio, values)

    return handler


def check(chooser: Chooser, studio: Studio, values: tuple[Any, ...]) -> dict[Any, Any]:
    """What preflight says of these choices; whatever is wrong with them is a sentence in the card."""
    shown, form = Markup(""), Form(*values[: len(chooser.form)])
    asks = {chooser.form.terms: gr.update(visible=open_terms(form, studio.policy) is not None)}
    try:
        facts = checks.facts_of(form.model)
        shown = facts_line(facts)
        if facts.source == "bundled" and form.text == FALLBACK_TEXT:
            shown += bundled_text_line()
        recipes = recipes_from(chooser, studio, values)
        estimate = checks.estimate_of(studio, recipes, facts)
    except PruneError as error:
        return asks | _refused(chooser, str(error), facts=shown)
    except Exception:
        _log.exception("Preflight failed")
        return asks | _refused(
            chooser, "This could not be checked; the log of the app says why.", facts=shown
        )
    return asks | {
        chooser.facts: str(shown),
        chooser.preflight: str(preflight_card(estimate, len(recipes))),
        chooser.prune: gr.update(interactive=estimate.refusal is None),
        chooser.command: str(command_block(recipes)),
    }


def recipes_from(chooser: Chooser, studio: Studio, values: tuple[Any, ...]) -> list[Recipe]:
    """The recipe of these values, then those of the rivals; raises PruneError with one sentence."""
    n = len(chooser.form)
    form = Form(*values[:n])
    return recipes_of(form, options.collect(values[n:], chooser.keys, form.method), studio.policy)


def fill(chooser: Chooser, recipe: Recipe) -> dict[Any, Any]:
    """The updates that make the rail ask for this recipe."""
    form = form_of(recipe)
    updates: dict[Any, Any] = dict(zip(chooser.form, form, strict=True))
    for field in ("text", "eval_text"):
        token = getattr(form, field)
        extra = token if token.startswith(uploads.PREFIX) else None
        updates[getattr(chooser.form, field)] = gr.update(choices=text_choices(extra), value=token)
    chosen = options.values_of(recipe.method)
    updates |= {control: chosen[key] for control, key in zip(chooser.controls, chooser.keys, strict=True)}
    numbers = (form.samples, form.length, form.eval_samples, form.eval_length)
    return updates | {chooser.preset: preset_of(*numbers)}


def texts_for(model: Any, text: Any, eval_text: Any, replaced: Any) -> tuple[Any, Any, Any]:
    """Both texts for a model that was just chosen, and which ones were replaced for its sake.

    With the bundled model nothing has to be fetched at all; with another one the replaced texts come back.
    """
    entry = CATALOGUE.get(str(model or "").strip())
    if entry is not None and entry.source == "bundled":
        absent = missing.texts_to_come(str(text), str(eval_text))
        kept = tuple(chosen if chosen in absent else None for chosen in (text, eval_text))
        return *(FALLBACK_TEXT if chosen in absent else gr.skip() for chosen in (text, eval_text)), kept
    chosen = zip((text, eval_text), replaced, strict=True)
    back = (old if old and now == FALLBACK_TEXT else gr.skip() for now, old in chosen)
    return *back, (None, None)


def text_choices(extra: str | None = None) -> list[tuple[str, str]]:
    """(title, name) of the catalogue's texts, and of an upload when there is one."""
    choices = [(entry.title, name) for name, entry in TEXTS.items()]
    return [*choices, (uploads.title(extra), extra)] if extra else choices


def _first_text() -> str:
    return next(iter(TEXTS))


def _refused(chooser: Chooser, message: str, facts: Markup) -> dict[Any, Any]:
    return {
        chooser.facts: str(facts),
        chooser.preflight: str(sentence_card(message)),
        chooser.prune: gr.update(interactive=False),
        chooser.command: str(command_block([])),
    }


def _taken(name: str, method: str) -> tuple[int, int, int, int, str]:
    """The numbers of a preset, and its method."""
    preset = PRESETS.get(name, PRESETS[DEFAULT_PRESET])
    numbers = preset.samples, preset.length, preset.eval_samples, preset.eval_length
    return *numbers, method_of(str(name), str(method))


def _preset_of(*values: Any) -> str | None:
    return preset_of(*values)


def _take_upload(path: str | None) -> tuple[Any, Any, str]:
    """An uploaded text becomes a choice of both lists, and the one that calibrates."""
    if not path:
        return gr.skip(), gr.skip(), ""
    try:
        token = uploads.keep(path)
    except (BadInput, OSError) as error:
        message = (
            str(error)
            if isinstance(error, BadInput)
            else "The text could not be stored; the disk may be full."
        )
        return gr.skip(), gr.skip(), str(sentence_card(message))
    choices = text_choices(token)
    return gr.update(choices=choices, value=token), gr.update(choices=choices), ""


def _method_sentences() -> Markup:
    """All sentences; css shows the one of the chosen method."""
    return join(
        Markup('<p class="says says-{}">{}</p>').format(name, cls.summary) for name, cls in METHODS.items()
    )


_ACCEPT = "I have read and accept these conditions of use"
_OPTIONAL = "Also prune what a family leaves dense by default: dt_proj of Mamba, Falcon Mamba and Jamba"
_RACE = (
    '<p class="says">One press queues a run for every method ticked here, each with its default options on the same '
    "text, and draws their curves together. The method chosen above always takes part.</p>"
)
_HOW_MUCH = str(
    Markup(
        '<p class="says for-pattern">{} of every M neighbouring weights stay, in every row. The pattern alone '
        'decides how many go, so there is no slider.</p><p class="says for-sparsity">Removes exactly this share '
        "of every layer, wherever the weights are; APT joint lets layers differ, and the whole loses exactly this "
        "share. No pattern applies.</p>"
    ).format(term("N:M", "N"))
)
