"""What each method does, where it comes from, what it costs, and its options: all from the registry."""

from __future__ import annotations

from typing import Any

from apt_core.base.words import duration
from apt_core.estimate.rates import packaged_rates
from apt_core.methods import METHODS, Method
from apt_core.models.catalogue.entries import CATALOGUE, DEFAULT_MODEL
from apt_core.ui.views.html import Markup, join, table


def methods_page() -> Markup:
    intro = (
        "Every method sets exactly the same number of weights to zero. They differ in which weights they choose, "
        "and in whether the weights that stay move to make up for those that go."
    )
    return Markup('<div class="methods"><p class="lead">{}</p>{}</div>').format(
        intro, join(_method(method) for method in METHODS.values())
    )


def option_rows(method: type[Method]) -> list[tuple[str, str, str, str]]:
    """(name, default, allowed, meaning) of each option, as its schema states them."""
    properties = method.model_json_schema().get("properties", {})
    return [
        (name, str(schema.get("default", "")), allowed(schema), schema.get("description", ""))
        for name, schema in properties.items()
    ]


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
        entry.shape.prunable * rates.solving(f"{method.name}/{kind}") for kind in ("unstructured", "n:m")
    ]
    return (
        f"Cost: solves all layers of {entry.title} in about {duration(round(seconds[0]))} (unstructured) or "
        f"{duration(round(seconds[1]))} (N:M) on {rates.conditions}."
    )


def _method(method: type[Method]) -> Markup:
    options = option_rows(method)
    return Markup(
        '<article class="method" id="method-{}"><h2>{}</h2><p>{}</p><p class="source">{}. {}</p>{}</article>'
    ).format(
        method.name,
        method.title,
        method.summary,
        method.source,
        cost(method),
        table(("option", "default", "allowed", "what it does"), options, f"Options of {method.title}")
        if options
        else Markup('<p class="quiet">No options.</p>'),
    )
