"""Controls drawn from the schemas of the components. A new component or option needs nothing here.

One dropdown a slot, the options of every component in a group of their own (the browser shows the group of what is
chosen), and what all components share. Choosing a named method puts its composition in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.components import Component

from apt_core.methods import COMPONENTS, METHODS, STRUCTURED, Method, StructuredMethod
from apt_core.methods.component import SLOTS, Named
from apt_core.ui.views.html import Markup
from apt_core.ui.views.methods_page import allowed

Keys = list[str]  # "mask", "mask.apt.block_size", "dampening": in the order of the controls
STRUCTURED_KEY = "structured"  # in front of "depth.criterion"
_NOTHING: Mapping[str, Callable[[], None]] = MappingProxyType({})
_FILLED = "method"  # the name of the method whose composition the controls show


def draw_controls(below: Mapping[str, Callable[[], None]] = _NOTHING) -> tuple[list[Component], Keys]:
    """The controls as the first method has them, and what each of them stands for. below: slot -> what draws something
    more below its options."""
    first = next(iter(METHODS.values()))()
    controls: dict[str, Component] = {_FILLED: gr.State(first.name)}
    values = values_of(first)
    with gr.Column(elem_classes="composed"):
        for slot, components in COMPONENTS.items():
            field = Method.model_fields[slot]
            choices = [(kind.title, name) for name, kind in components.items()]
            dropdown = controls[slot] = gr.Dropdown(
                choices, value=values[slot], label=field.title, info=field.description, filterable=False
            )
            # At once and in the browser, whoever has changed it; `visibility_css` goes by this attribute.
            dropdown.change(None, dropdown, js=_SHOWS.format(slot), api_visibility="private")
            for name, kind in components.items():
                with gr.Column(elem_classes=["options", f"options-{slot}-{name}"]):
                    gr.HTML(
                        str(Markup('<p class="says">{}</p>').format(kind.summary)), apply_default_css=False
                    )
                    for option, schema in properties(kind).items():
                        path = f"{slot}.{name}.{option}"
                        controls[path] = control(option, schema | {"default": values[path]})
            if slot in below:
                below[slot]()
        for option, schema in properties(Method).items():
            if option not in SLOTS:
                controls[option] = control(option, schema | {"default": values[option]})
    for name, structured in STRUCTURED.items():
        with gr.Column(elem_classes=["options", f"options-method-{name}"]):
            for option, schema in properties(structured).items():
                path = f"{STRUCTURED_KEY}.{name}.{option}"
                controls[path] = control(option, schema | {"default": values[path]})
    return list(controls.values()), list(controls)


def wire(method: Any, controls: Sequence[Component]) -> None:
    """Whoever chooses a method (a visitor, a preset) gets its composition, unless it came with one of its own."""
    method.change(
        _composition,
        [method, controls[0]],
        list(controls),
        show_progress="hidden",
        api_visibility="private",
        concurrency_limit=None,
    )


def values_of(method: Method) -> dict[str, Any]:
    """Key -> value of its control; components that the method does not use show their own defaults."""
    values: dict[str, Any] = {_FILLED: method.name}
    for slot, components in COMPONENTS.items():
        chosen = getattr(method, slot)
        values[slot] = chosen.name
        for name, kind in components.items():
            shown = chosen if name == chosen.name else kind()
            values |= {f"{slot}.{name}.{option}": getattr(shown, option) for option in kind.model_fields}
    values |= {option: value for option, value in method.settings().items() if option in _shared()}
    return values | structured_values(None)


def structured_values(chosen: StructuredMethod | None) -> dict[str, Any]:
    """The same of the methods that remove structures; those that are not chosen show their defaults."""
    shown = [chosen if chosen and chosen.name == name else kind() for name, kind in STRUCTURED.items()]
    return {
        f"{STRUCTURED_KEY}.{method.name}.{option}": value
        for method in shown
        for option, value in method.settings().items()
    }


def collect(values: Sequence[Any], keys: Keys, method: Any) -> dict[str, Any]:
    """What the controls say about `method`, nested as a job holds it.

    Nothing, while they still show another method's composition: then its own defaults hold.
    """
    given = {key: plain(value) for key, value in zip(keys, values, strict=True)}
    if given.pop(_FILLED, None) != method:
        return {}
    options: dict[str, Any] = {option: given[option] for option in _shared()}
    for slot in SLOTS:
        own = f"{slot}.{given[slot]}."
        chosen = {key.removeprefix(own): value for key, value in given.items() if key.startswith(own)}
        options[slot] = {"name": given[slot]} | chosen
    return options


def properties(kind: type[Named]) -> dict[str, dict[str, Any]]:
    """Option -> its schema."""
    found = kind.model_json_schema().get("properties", {})
    return {option: schema for option, schema in found.items() if option in kind.model_fields}


def control(name: str, schema: dict[str, Any]) -> Component:
    """enum -> dropdown, boolean -> checkbox, number -> number. Bounds are said in words and checked by
    the job, so that a number outside them is a sentence in the card and not an error of the widget."""
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
    drawn = schema.get("drawn_as")  # "curve": the page draws the numbers and lets them be dragged
    return gr.Textbox(
        value="" if default is None else str(default), label=label, info=info, elem_classes=drawn or []
    )


def visibility_css() -> str:
    """Show what belongs to the chosen method and components, hide the rest: in the browser, at once."""
    first = next(iter(METHODS.values()))()
    rules = []
    listed: dict[str, type[Method] | type[StructuredMethod]] = {**METHODS, **STRUCTURED}
    for name, kind in listed.items():
        chosen = f'#choose:not(:has(#method input[value="{name}"]:checked))'
        rules.append(f"{chosen} :is(.says-{name}, .options-method-{name}) {_HIDDEN}")
        rules.append(_in_the_lists(name, kind.advice))
    structured = ", ".join(f'[value="{name}"]' for name in STRUCTURED)
    removes = f"#choose:has(#method input:is({structured}):checked)"
    rules.append(f"{removes} :is(.composed, #kind, #pattern, #custom-pattern, #how-much-note) {_HIDDEN}")
    rules.append(f"{removes} #optional-layers {_HIDDEN}")
    unticked = ":not(:has(#rivals input:checked))"  # a rival that is ticked stays there to be unticked
    rules.append(f"{removes}{unticked} :is(#rivals, .form:has(> #rivals:only-child)) {_HIDDEN}")
    rules.append(f"{removes} #how-much #sparsity {{ display: block !important; }}")
    rules.append(f"{removes} #how-much .form:has(> #sparsity) {{ display: flex !important; }}")
    for slot, components in COMPONENTS.items():
        for name in components:
            said = f"[data-{slot}]" if name == getattr(first, slot).name else ""
            other = f'#choose{said}:not([data-{slot}="{name}"])'
            rules.append(f"{other} .options-{slot}-{name} {{ display: none !important; }}")
    return "\n".join(rules)


def _in_the_lists(name: str, advice: str) -> str:
    """A method with advice says it below its name, another waits for "all methods"; none is its own rival."""
    own = f'#choose:has(#method input[value="{name}"]:checked) #rivals label:has(input[name="{name}"])'
    rules = [f"{own} {{ display: none !important; }}"]
    label = f'label:has(input[value="{name}"])'
    if advice:
        rules.append(f'#method {label}::after {{ content: "{advice}"; }}')
    else:
        waiting = f'label:has(input:is([value="{name}"], [name="{name}"]):not(:checked))'  # radio, checkbox
        rules.append(
            f"#choose:not(.all-methods) :is(#method, #rivals) {waiting} {{ display: none !important; }}"
        )
    return "\n".join(rules)


_HIDDEN = "{ display: none !important; }"
_SHOWS = "(name) => {{ document.querySelector('#choose').dataset['{}'] = name; }}"


def _composition(method: Any, filled: Any) -> Any:
    if method == filled or method not in METHODS:
        return gr.skip()
    return list(values_of(METHODS[method]()).values())


def _shared() -> list[str]:
    return [option for option in Method.model_fields if option not in SLOTS]


def plain(value: Any) -> Any:
    """A browser has no integers; 128.0 means 128."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _step(schema: dict[str, Any], default: Any) -> float:
    if schema["type"] == "integer":
        return 1
    return abs(default) / 10 if default else 0.01
