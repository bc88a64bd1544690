"""Every control by its name: the plain ones, and those of fields that need more than a plain one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from apt_core.base.errors import BadInput
from apt_core.base.patterns import SemiStructured, parse_pattern
from apt_core.base.policy import HostPolicy
from apt_core.methods import METHODS, STRUCTURED, Method, StructuredMethod
from apt_core.methods.registry import RECOVERIES
from apt_core.models.catalogue.entries import CATALOGUE, DEFAULT_MODEL
from apt_core.models.fetch.sources import local_path
from apt_core.texts.sources import TEXTS
from apt_core.ui.acting import visitor_for
from apt_core.ui.forms import options, uploads
from apt_core.ui.forms.fields import PLAIN, Control, Field, Values, element_id, number, whole
from apt_core.ui.forms.model_notes import in_groups
from apt_core.ui.forms.slider import Slider
from apt_core.ui.views.html import Markup, term

CUSTOM = "custom"
MOST_REMOVED = 99  # percent
PATTERNS = ("2:4", "4:8", "1:4", "3:4", "1:2", "2:8")

# ---- a model: one of the list, a folder, an id of the Hub, what a run made


def _draw_model(field: Field) -> dict[str, Component]:
    return {
        field.path: gr.Dropdown(
            choices=[(entry.title, entry.name) for entry in in_groups()],
            value=DEFAULT_MODEL,
            allow_custom_value=True,
            label=field.label,
            elem_id=element_id(field.path),
        )
    }


def _read_model(field: Field, values: Values, policy: HostPolicy) -> dict[str, str]:
    name = str(values[field.path] or "").strip()
    if not name:
        raise BadInput("Choose a model, or type a Hub id such as owner/name.")
    if name not in CATALOGUE and (folder := local_path(name, policy)):
        name = str(folder)  # absolute: the worker works in another folder
    return {"id": name}


def _write_model(field: Field, value: Any) -> dict[str, Any]:
    return {field.path: value.id}


# ---- a pattern: N:M by a chip or two numbers, or a share


def _draw_pattern(field: Field) -> dict[str, Component]:
    path = field.path
    first = _write_pattern(field, field.default)
    with gr.Column(elem_id="how-much"):
        drawn: dict[str, Component] = {
            f"{path}.kind": gr.Radio(
                choices=[("N:M pattern", "n:m"), ("Unstructured", "unstructured")],
                value=first[f"{path}.kind"],
                label="Sparsity",
                elem_id="kind",
                elem_classes="segmented",
            ),
            f"{path}.name": gr.Radio(
                choices=[*((name, name) for name in PATTERNS), ("Custom", CUSTOM)],
                value=first[f"{path}.name"],
                label=field.label,
                show_label=False,
                elem_id="pattern",
                elem_classes="chips",
            ),
        }
        drawn[f"{path}.mixed"] = gr.Checkbox(
            value=first[f"{path}.mixed"],
            label="Layers may differ, this on average",
            info="As the method's allocation decides; not for hardware that wants one pattern",
            elem_id="mixed",
            elem_classes="for-pattern",
        )
        with gr.Row(elem_id="custom-pattern"):
            drawn[f"{path}.keep"] = gr.Number(
                value=first[f"{path}.keep"], label="Keep N", min_width=80, elem_id="keep"
            )
            drawn[f"{path}.of"] = gr.Number(
                value=first[f"{path}.of"], label="of every M (up to 16)", min_width=80, elem_id="of"
            )
        drawn[f"{path}.sparsity"] = Slider(
            0,
            MOST_REMOVED,
            value=first[f"{path}.sparsity"],
            step=1,
            label="Sparsity, %",
            info="Removes exactly this share of every layer, wherever the weights are. A method with an "
            "allocation lets layers differ, and the whole loses exactly this share.",
            buttons=[],
            elem_id="sparsity",
            elem_classes="narrow",
        )
        gr.HTML(_HOW_MUCH, elem_id="how-much-note", apply_default_css=False)
    return drawn


def _read_pattern(field: Field, values: Values, _policy: HostPolicy) -> dict[str, Any]:
    names = ("kind", "name", "keep", "of", "mixed", "sparsity")
    given = {name: values.get(f"{field.path}.{name}") for name in names}
    try:
        return parse_pattern(_wanted(given)).model_dump()
    except BadInput as error:
        error.field = "sparsity" if given["kind"] == "unstructured" else "keep"
        raise


def _wanted(given: dict[str, Any]) -> str:
    if given["kind"] == "unstructured":
        return f"{_percent(given['sparsity']) / 100:.6g}"
    mixed = " mixed" if given["mixed"] else ""
    if given["name"] == CUSTOM:
        return f"{whole(given['keep'], 'N')}:{whole(given['of'], 'M')}{mixed}"
    return f"{given['name'] or ''}{mixed}"


def _percent(value: Any) -> float:
    """Of the slider of unstructured sparsity."""
    found = number(value, "Sparsity")
    if not 0 <= found < 100:
        raise BadInput(f"Sparsity: give a percentage from 0 to {MOST_REMOVED}, not {found:g}.")
    return found


def _write_pattern(field: Field, value: Any) -> dict[str, Any]:
    grouped = isinstance(value, SemiStructured)
    plain = value.of_layer(value.keep).label if grouped else ""
    shown = {
        "kind": value.kind,
        "name": plain if plain in PATTERNS else CUSTOM if grouped else PATTERNS[0],
        "keep": value.keep if grouped else 2,
        "of": value.of if grouped else 4,
        "mixed": grouped and value.mixed,
        "sparsity": 50 if grouped else round(100 * value.sparsity, 4),
    }
    return {f"{field.path}.{name}": choice for name, choice in shown.items()}


# ---- a method: its name; its options are drawn apart, folded away (`draw_options`)


def _draw_method(field: Field) -> dict[str, Component]:
    return {
        f"{field.path}.name": gr.Radio(
            choices=[(cls.title, name) for name, cls in (*METHODS.items(), *STRUCTURED.items())],
            value=next(iter(METHODS)),
            label=field.label,
            elem_id=element_id(field.path),
            elem_classes="chips",
        )
    }


def draw_options(path: str, below: Mapping[str, Callable[[], None]]) -> dict[str, Component]:
    """The options of every method; css shows those that apply. below: slot -> what draws something more there."""
    controls, keys = options.draw_controls(below)
    return {f"{path}.{key}": control for key, control in zip(keys, controls, strict=True)}


def _read_method(field: Field, values: Values, _policy: HostPolicy) -> dict[str, Any]:
    name = str(values[f"{field.path}.name"] or "")
    if name not in METHODS:
        raise BadInput(f"There is no method '{name[:40]}'; choose one of {', '.join(METHODS)}.")
    start = f"{field.path}."
    given = {path.removeprefix(start): value for path, value in values.items() if path.startswith(start)}
    del given["name"]
    return {**options.collect(list(given.values()), list(given), name), "name": name}


def _write_method(field: Field, value: Method) -> dict[str, Any]:
    shown = {"name": value.name} | options.values_of(value)
    return {f"{field.path}.{name}": choice for name, choice in shown.items()}


# ---- a method that removes structures: a name of the same list, and options of its own


def _draw_nothing(field: Field) -> dict[str, Component]:
    """Its controls are drawn with those of the other methods."""
    return {}


def _read_structured(field: Field, values: Values, _policy: HostPolicy) -> dict[str, Any]:
    name = str(values[f"{field.path}.name"] or "")
    start = f"{field.path}.{options.STRUCTURED_KEY}.{name}."
    given = {path.removeprefix(start): value for path, value in values.items() if path.startswith(start)}
    return {option: options.plain(value) for option, value in given.items()} | {"name": name}


def _write_structured(field: Field, value: StructuredMethod) -> dict[str, Any]:
    shown = options.structured_values(value)
    return {f"{field.path}.name": value.name} | {f"{field.path}.{key}": given for key, given in shown.items()}


def _read_share(field: Field, values: Values, _policy: HostPolicy) -> dict[str, Any]:
    """The slider of unstructured sparsity, whatever kind of pattern is chosen: N:M says nothing of structures."""
    share = _percent(values[f"{field.path}.sparsity"]) / 100
    return parse_pattern(f"{share:.6g}").model_dump()


# ---- a recovery: its name; its options are the defaults of the method


def _draw_recovery(field: Field) -> dict[str, Component]:
    return {
        field.path: gr.Radio(
            choices=[(cls.title, name) for name, cls in RECOVERIES.items()],
            value=next(iter(RECOVERIES)),
            label=field.label,
            elem_id=element_id(field.path),
            elem_classes="chips",
        )
    }


def _read_recovery(field: Field, values: Values, _policy: HostPolicy) -> dict[str, str]:
    return {"name": str(values[field.path] or "")}


def _write_recovery(field: Field, value: Any) -> dict[str, Any]:
    return {field.path: value.name}


# ---- a text: of the list, of the Hub, or a visitor's own


def text_choices(extra: str | None = None) -> list[tuple[str, str]]:
    """(title, name) of the texts of the list, and of an upload when there is one."""
    choices = [(entry.title, name) for name, entry in TEXTS.items()]
    return [*choices, (uploads.title(extra), extra)] if extra else choices


def _draw_text(field: Field) -> dict[str, Component]:
    return {
        field.path: gr.Dropdown(
            choices=text_choices(),
            value=next(iter(TEXTS)),
            allow_custom_value=True,
            label=field.label,
            info=field.info or None,
            elem_id=element_id(field.path),
        )
    }


def _read_text(field: Field, values: Values, policy: HostPolicy) -> str:
    return uploads.text_for(values[field.path], visitor_for(policy))


def _write_text(field: Field, value: str) -> dict[str, Any]:
    return {field.path: uploads.token_for(value)}


_HOW_MUCH = str(
    Markup('<p class="says for-pattern">{} of every M neighbours in a row stay.</p>').format(term("N:M", "N"))
)

CONTROLS: dict[str, Control] = {
    **PLAIN,
    "model": Control(_draw_model, _read_model, _write_model),
    "pattern": Control(_draw_pattern, _read_pattern, _write_pattern),
    "method": Control(_draw_method, _read_method, _write_method),
    "structured": Control(_draw_nothing, _read_structured, _write_structured),
    "share": Control(_draw_nothing, _read_share, _write_pattern),
    "recovery": Control(_draw_recovery, _read_recovery, _write_recovery),
    "text": Control(_draw_text, _read_text, _write_text),
}
