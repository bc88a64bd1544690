"""The fields of a job, as its schema states them, and the plain controls that are drawn from them.

A field is known by its dotted path (`calibration.samples`); what the page holds of a job is a value for each path.
A field that needs more than a plain control names one: `json_schema_extra={"control": "text"}` (see `controls`);
"hidden" leaves it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import UnionType
from typing import Any, NamedTuple, get_args, get_origin

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel

from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.ui.views.methods_page import allowed

Values = Mapping[str, Any]  # path -> value, as a browser sends it
HIDDEN = "hidden"
_NO_LIMIT = 1_000_000  # a bound above this is no help


class Field(NamedTuple):
    """One value of a job that a visitor can choose."""

    path: str
    schema: Mapping[str, Any]  # JSON schema of this value
    label: str
    group: str  # title of the value of which it is a part: "Calibration", empty for the job itself
    control: str
    default: Any

    @property
    def name(self) -> str:
        """'samples' of calibration.samples"""
        return self.path.rsplit(".", 1)[-1]

    @property
    def info(self) -> str:
        said = str(self.schema.get("description", ""))
        return said[:1].upper() + said[1:]

    @property
    def said(self) -> str:
        """How a sentence names it: 'Calibration samples'."""
        inside = self.group and not self.label.startswith(self.group)
        return f"{self.group} {self.label[:1].lower()}{self.label[1:]}" if inside else self.label


class Control(NamedTuple):
    """How a field is shown and read. A field may have several components, each with a path of its own."""

    draw: Callable[[Field], dict[str, Component]]
    read: Callable[
        [Field, Values, HostPolicy], Any
    ]  # what the job is given; raises BadInput with one sentence
    write: Callable[[Field, Any], dict[str, Any]]  # what the components show for a value of the job
    narrow: bool = False  # fits beside others in one row


@lru_cache(maxsize=32)  # schemas do not change, and every keystroke reads a form
def fields_of(kind: type[BaseModel], inside: str = "", group: str = "") -> tuple[Field, ...]:
    """Every field in the order of the schema, those of nested values in their place. A tuple of values is one of
    them: the page asks for one."""
    schemas = kind.model_json_schema()["properties"]
    found: list[Field] = []
    for name, stated in kind.model_fields.items():
        schema, path = schemas[name], f"{inside}{name}"
        extra = stated.json_schema_extra if isinstance(stated.json_schema_extra, dict) else {}
        control = str(extra.get("control") or _plain_control(schema))
        nested = _nested(stated.annotation)
        if control == HIDDEN or "const" in schema:
            continue
        label = stated.title or name.replace("_", " ").capitalize()
        if nested is not None and "control" not in extra:
            found += fields_of(nested, f"{path}.", label)
        else:
            default = None if stated.is_required() else stated.get_default(call_default_factory=True)
            found.append(Field(path, schema, label, group, control, default))
    return tuple(found)


def value_at(job: BaseModel, path: str) -> Any:
    """What the job holds at this path; of a tuple the first."""
    value: Any = job
    for name in path.split("."):
        value = value[0] if isinstance(value, tuple) else value
        value = getattr(value, name)
    return value


def put_at(data: dict[str, Any], path: str, value: Any) -> None:
    """Plain data with this value at the path."""
    *outer, last = path.split(".")
    for name in outer:
        data = data.setdefault(name, {})
    data[last] = value


def number(value: Any, said: str) -> float:
    """Raises BadInput for what is no finite number."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise BadInput(f"{said}: give a number.") from None
    if not math.isfinite(found):
        raise BadInput(f"{said}: give a number.")
    return found


def whole(value: Any, said: str) -> int:
    """Raises BadInput for what is no whole number."""
    found = number(value, said)
    if found != int(found):
        raise BadInput(f"{said}: give a whole number, not {found:g}.")
    return int(found)


def _nested(annotation: Any) -> type[BaseModel] | None:
    """The model of a nested value, or of the values of a tuple; None for a plain value."""
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_model and not isinstance(annotation, UnionType) else None


def _plain_control(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "enum"
    return {"boolean": "flag", "integer": "number", "number": "number"}.get(schema.get("type", ""), "line")


# ---- the plain controls


def element_id(path: str) -> str:
    """'eval-samples' of evaluation.samples, 'samples' of calibration.samples, 'optional-layers'."""
    group, _, name = path.rpartition(".")
    prefix = {"calibration": "", "resources": "", "evaluation": "eval-"}.get(
        group, f"{group}-" if group else ""
    )
    return f"{prefix}{name}".replace("_", "-").replace(".", "-")


def _draw_number(field: Field) -> dict[str, Component]:
    """Bounds are said in words and checked when the job is read, so that a number outside them is a sentence of
    the card and not an error of the widget."""
    step = 1 if field.schema["type"] == "integer" else abs(field.default or 0) / 10 or 0.01
    helps = field.info and field.schema.get("maximum", 0) < _NO_LIMIT
    bounds = f" ({allowed(dict(field.schema))})" if helps else ""
    return {
        field.path: gr.Number(
            value=field.default,
            label=field.label,
            info=field.info + bounds if field.info else None,
            step=step,
            min_width=80,
            elem_id=element_id(field.path),
            elem_classes="narrow",
        )
    }


def _read_number(field: Field, values: Values, _policy: HostPolicy) -> float | int:
    schema, given = field.schema, values[field.path]
    read = whole if schema["type"] == "integer" else number
    found, low, high = read(given, field.said), schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None and not low <= found <= high:
        raise BadInput(f"{field.said}: give a number from {low:,} to {high:,}, not {found:,}.")
    return found


def _draw_enum(field: Field) -> dict[str, Component]:
    return {
        field.path: gr.Dropdown(
            choices=list(field.schema["enum"]),
            value=field.default,
            label=field.label,
            info=field.info or None,
            filterable=False,
            min_width=80,
            elem_id=element_id(field.path),
            elem_classes="narrow",
        )
    }


def _draw_flag(field: Field) -> dict[str, Component]:
    shown: dict[str, Any] = {
        "label": field.label,
        "info": field.info or None,
        "elem_id": element_id(field.path),
    }
    return {field.path: gr.Checkbox(value=bool(field.default), **shown)}


def _draw_line(field: Field) -> dict[str, Component]:
    shown: dict[str, Any] = {
        "label": field.label,
        "info": field.info or None,
        "elem_id": element_id(field.path),
    }
    return {field.path: gr.Textbox(value=field.default or "", max_lines=1, **shown)}


def _given(field: Field, values: Values, _policy: HostPolicy) -> Any:
    """As it is; the job checks it. Nothing chosen is the default."""
    return field.default if values[field.path] in (None, "") else values[field.path]


def _shown(field: Field, value: Any) -> dict[str, Any]:
    return {field.path: value}


PLAIN = {
    "number": Control(_draw_number, _read_number, _shown, narrow=True),
    "enum": Control(_draw_enum, _given, _shown, narrow=True),
    "flag": Control(_draw_flag, lambda field, values, _policy: bool(values[field.path]), _shown),
    "line": Control(_draw_line, _given, _shown),
}
