"""`models`, `methods`, `completion`: what can be named on the command line."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from apt_core.base import words
from apt_core.base.errors import BadInput
from apt_core.base.lazy import lazy
from apt_core.cli.output import print_json, table
from apt_core.models.catalogue import entries

shtab = lazy("shtab")

if TYPE_CHECKING:
    from apt_core.methods import Method, StructuredMethod


def models(options: argparse.Namespace) -> int:
    found = entries.list_models(options.policy)
    if options.json:
        print_json(found)
        return 0
    rows = [
        (
            model["name"],
            model["title"],
            model["license"],
            f"dequantised {model['dequantised_from']}" if model["dequantised_from"] else "as published",
            "here" if model["cached"] else model["source"],
            words.count(model["parameters"]),
        )
        for model in found
    ]
    print(table(("name", "title", "licence", "weights", "where", "parameters"), rows, left=5))
    return 0


def completion(options: argparse.Namespace) -> int:
    """The shell's own script, made of the parser by shtab."""
    if find_spec("shtab") is None:
        raise BadInput("Completion needs one more package: pip install shtab.")
    from apt_core.cli.parser import build_parser

    print(shtab.complete(build_parser(options.policy), options.shell))
    return 0


def methods(options: argparse.Namespace) -> int:
    """Named methods with their compositions, then the components they can be composed of."""
    from apt_core.methods import COMPONENTS, METHODS, STRUCTURED

    named: dict[str, type[Method] | type[StructuredMethod]] = {**METHODS, **STRUCTURED}
    if options.json:
        print_json([method_facts(method) for method in named.values()])
        return 0
    for name, method in named.items():
        print(f"{name}: {method.title} ({method.source})\n  {method.summary}")
        for path, value in method().settings().items():
            print(f"  --set {path}={value}")
        print()
    for slot, components in COMPONENTS.items():
        print(f"{slot}:")
        for name, component in components.items():
            print(f"  --set {slot}={name}  {component.summary}")
            for option, field in component.model_fields.items():
                print(f"    --set {slot}.{option}={field.get_default()}  {field.description or ''}".rstrip())
        print()
    return 0


def method_facts(method: type[Method] | type[StructuredMethod]) -> dict[str, Any]:
    """options: a JSON schema; under `$defs` it holds every component that fits into each slot."""
    return {
        "name": method.name,
        "title": method.title,
        "source": method.source,
        "summary": method.summary,
        "composition": method().model_dump(),
        "options": method.model_json_schema(),
    }
