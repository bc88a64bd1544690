"""Controls drawn from the schema of every method's options. A new method needs nothing here."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from apt_core.methods import METHODS
from apt_core.ui.views.methods_page import allowed

Keys = list[tuple[str, str]]  # (method, option), in the order of the controls


def draw_controls() -> tuple[list[Component], Keys]:
    """One group of controls per method; css shows the group of the method that is chosen."""
    controls: list[Component] = []
    keys: Keys = []
    for method in METHODS.values():
        properties = method.model_json_schema().get("properties", {})
        with gr.Column(elem_classes=["options", f"options-{method.name}"]):
            if not properties:
                gr.HTML(f'<p class="quiet">{method.title} has no options.</p>', apply_default_css=False)
            for name, schema in properties.items():
                controls.append(control(name, schema))
                keys.append((method.name, name))
    return controls, keys


def control(name: str, schema: dict[str, Any]) -> Component:
    """enum -> dropdown, boolean -> checkbox, number -> number. Bounds are said in words and checked by
    the recipe, so that a number outside them is a sentence in the card and not an error of the widget."""
    label = schema.get("title") or name.replace("_", " ").capitalize()
    info = schema.get("description", "")
    default = schema.get("default")
    if choices := schema.get("enum"):
        return gr.Dropdown(choices=list(choices), value=default, label=label, info=info, filterable=False)
    if schema.get("type") == "boolean":
        return gr.Checkbox(value=bool(default), label=label, info=info)
    if schema.get("type") in ("integer", "number"):
        return gr.Number(
            value=default, label=label, info=f"{info} ({allowed(schema)})", step=_step(schema, default)
        )
    return gr.Textbox(value="" if default is None else str(default), label=label, info=info)


def collect(values: tuple[Any, ...], keys: Keys) -> dict[str, dict[str, Any]]:
    """Flat values of the controls -> method name -> option name -> value."""
    options: dict[str, dict[str, Any]] = {}
    for (method, name), value in zip(keys, values, strict=True):
        options.setdefault(method, {})[name] = value
    return options


def visibility_css() -> str:
    """Show what belongs to the chosen method, hide the rest: in the browser, at once."""
    rules = []
    for name in METHODS:
        chosen = f'#choose:not(:has(#method input[value="{name}"]:checked))'
        rules.append(f"{chosen} .options-{name}, {chosen} .says-{name} {{ display: none !important; }}")
    return "\n".join(rules)


def _step(schema: dict[str, Any], default: Any) -> float:
    if schema["type"] == "integer":
        return 1
    return abs(default) / 10 if default else 0.01
