"""What each method does, where it comes from, what it costs, and its options: all from the registry."""

from __future__ import annotations

from typing import Any

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.words import duration
from apt_core.estimate.rates import packaged_rates, solving_seconds
from apt_core.methods import COMPONENTS, Component, Method, make_method
from apt_core.methods.component import Named, Statistic
from apt_core.models.catalogue.entries import CATALOGUE, DEFAULT_MODEL
from apt_core.reports import measured
from apt_core.studies import scaling_law
from apt_core.ui.views.html import Markup, join, table
from apt_core.ui.views.methods_map import (
    GROUPS,
    HALF,
    LAW,
    TWO_OF_FOUR,
    Group,
    lines_of,
    map_of,
    members,
    outcomes_of,
    said_of,
    table_of,
    tried,
    try_button,
)

_HEADS = (  # of components
    *("component", "what it does", "needs", "solves longer than Wanda by (50% / 2:4)"),
    *("perplexity, times dense", ""),
)
_LEAST_SECONDS = 0.05  # of solving: less is nothing


def methods_page() -> Markup:
    """Five groups of methods and the components that methods are made of, each folded."""
    intro = (
        "What can be done to a model here, in five groups. Methods of the first three set exactly the same number of "
        "weights to zero; they differ in which they choose, and in whether the weights that stay move."
    )
    return Markup('<div class="methods"><p class="lead">{}</p>{}{}</div>').format(
        intro,
        join(map_of(group, _articles(group)) for group in GROUPS),
        _put_together(),
    )


def _articles(group: Group) -> Markup:
    law = _law() if LAW in lines_of(group) else Markup("")
    return join(_article(kind) for kind in members(group)) + law


def _law() -> Markup:
    return Markup(
        '<article class="method" id="method-{}"><h2>{}</h2><p>{}</p><p class="source">{}.</p></article>'
    ).format(scaling_law.NAME, scaling_law.TITLE, scaling_law.SUMMARY, scaling_law.SOURCE)


def _article(kind: type[Named]) -> Markup:
    return _method(kind) if issubclass(kind, Method) else _with_options(kind)


def _put_together() -> Markup:
    return Markup(
        '<details class="map-group" id="group-components"><summary><span class="map-title">{}</span> '
        '<span class="map-says">{}</span></summary>{}{}</details>'
    ).format(
        "Put your own together",
        "Every method that sets weights to zero is a composition of five components, and each can be put in another's "
        "place.",
        _conditions(),
        join(_slot(slot) for slot in COMPONENTS),
    )


def _conditions() -> Markup:
    """What the figures of components were measured on, where there are any."""
    found = measured.load()
    said = found.conditions[0] if found.components else ""
    return Markup('<p class="quiet measured">{}</p>').format(said) if said else Markup("")


def option_rows(slot: str) -> list[tuple[str, str, str, str]]:
    """(path, default, allowed, meaning) of each option of each component, as its schema states them."""
    return [
        (
            f"{slot}.{option} ({name})",
            str(schema.get("default", "")),
            allowed(schema),
            schema.get("description", ""),
        )
        for name, kind in COMPONENTS[slot].items()
        for option, schema in kind.model_json_schema()["properties"].items()
        if option in kind.model_fields
    ]


def composition(method: Method) -> str:
    """'mask apt (block_size 256, solution auto), reconstruction search, dampening 0.01'."""
    parts = []
    for slot, component in method.components.items():
        options = ", ".join(
            f"{option} {getattr(component, option)}" for option in type(component).model_fields
        )
        parts.append(f"{slot} {component.name}" + (f" ({options})" if options else ""))
    shared = {field for field in type(method).model_fields if field not in method.components}
    return ", ".join(parts + [f"{field} {getattr(method, field)}" for field in sorted(shared)])


def allowed(schema: dict[str, Any]) -> str:
    """'auto, S or M', '16 to 4096', 'above 0, up to 1', 'yes or no'."""
    if choices := schema.get("enum"):
        *first, last = [str(choice) for choice in choices]
        return f"{', '.join(first)} or {last}" if first else last
    if schema.get("type") == "boolean":
        return "yes or no"
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    start = f"from {low:g}" if low is not None else f"above {above:g}" if above is not None else ""
    end = f"up to {high:g}" if high is not None else f"below {below:g}" if below is not None else ""
    return ", ".join(part for part in (start, end) if part) or str(schema.get("type", "any"))


def cost(method: type[Method]) -> str:
    """How long the method itself takes, by the packaged rates; statistics and perplexity cost the same for all."""
    entry, rates = CATALOGUE[DEFAULT_MODEL], packaged_rates()
    seconds = [
        solving_seconds(method(), entry.shape.layers, pattern, rates) * entry.shape.blocks
        for pattern in (Unstructured(sparsity=0.5), SemiStructured(keep=2, of=4))
    ]
    return (
        f"Cost: solves all layers of {entry.title} in about {duration(round(seconds[0]))} (unstructured) or "
        f"{duration(round(seconds[1]))} (N:M) on {rates.conditions}."
    )


def _method(method: type[Method]) -> Markup:
    return Markup(
        '<article class="method" id="method-{}"><h2>{}</h2><p>{}</p><p class="source">{}. {}</p>'
        '<p class="quiet">Composition: {}.</p></article>'
    ).format(method.name, method.title, method.summary, method.source, cost(method), composition(method()))


def _with_options(kind: type[Named]) -> Markup:
    schemas = kind.model_json_schema()["properties"]
    rows = [
        (option, str(schema.get("default", "")), allowed(schema), str(schema.get("description", "")))
        for option, schema in schemas.items()
        if option in kind.model_fields
    ]
    heads = ("option", "default", "allowed", "what it does")
    return Markup(
        '<article class="method" id="method-{}"><h2>{}</h2><p>{}</p><p class="source">{}.</p>{}</article>'
    ).format(kind.name, kind.title, kind.summary, kind.source, table(heads, rows, f"Options: {kind.title}"))


def _slot(slot: str) -> Markup:
    field, options = Method.model_fields[slot], option_rows(slot)
    chosen = table_of(f"Components: {field.title}", _HEADS, join(map(_component, COMPONENTS[slot].values())))
    heads = ("option", "default", "allowed", "what it does")
    return Markup('<article class="method" id="slot-{}"><h2>{}</h2><p>{}.</p>{}{}</article>').format(
        slot,
        field.title,
        field.description,
        chosen,
        table(heads, options, f"Options: {field.title}") if options else Markup(""),
    )


def _component(kind: type[Component]) -> Markup:
    """A component in Wanda's composition: what it needs there, what it takes more, and what it came to."""
    source = Markup(" <small>{}.</small>").format(kind.source) if kind.source else Markup("")
    cells = "<td>{}</td>" * 4
    return Markup(
        f'<tr><th scope="row">{{}} <code>{{}}={{}}</code></th><td class="says">{{}}{{}}</td>{cells}</tr>'
    ).format(
        *(kind.title, kind.slot, kind.name, kind.summary, source),
        *(said_of(kind().needs), _added(kind)),
        outcomes_of(measured.load().of_component(kind.slot, kind.name)),
        try_button(kind.title, tried(kind)),
    )


def _added(kind: type[Component]) -> str:
    """Time to solve all layers of the usual model beyond what Wanda's own component takes, by the packaged rates."""
    more = [
        _solving(kind.name, kind.slot, pattern) - _solving("", kind.slot, pattern)
        for pattern in (HALF, TWO_OF_FOUR)
    ]
    solving = " / ".join(duration(seconds) if seconds >= _LEAST_SECONDS else "nothing" for seconds in more)
    gradients = Statistic.OUTPUT_GRADIENTS in kind().needs
    return f"{solving}, and the text backwards" if gradients else solving


def _solving(component: str, slot: str, pattern: Unstructured | SemiStructured) -> float:
    """Seconds of Wanda with this component in its slot; with its own where none is named."""
    entry = CATALOGUE[DEFAULT_MODEL]
    method = make_method("wanda", {slot: component} if component else {})
    return solving_seconds(method, entry.shape.layers, pattern, packaged_rates()) * entry.shape.blocks
