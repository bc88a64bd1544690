"""`models` and `methods`: what can be named on the command line."""

from __future__ import annotations

import argparse

from apt_core.base import words
from apt_core.cli.output import print_json, table
from apt_core.models.catalogue import entries


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
            "here" if model["cached"] else model["source"],
            words.count(model["parameters"]),
        )
        for model in found
    ]
    print(table(("name", "title", "licence", "where", "parameters"), rows, left=4))
    return 0


def methods(options: argparse.Namespace) -> int:
    from apt_core.methods import METHODS

    if options.json:
        print_json(
            [
                {
                    "name": name,
                    "title": method.title,
                    "source": method.source,
                    "summary": method.summary,
                    "options": method.model_json_schema(),
                }
                for name, method in METHODS.items()
            ]
        )
        return 0
    for name, method in METHODS.items():
        print(f"{name}: {method.title} ({method.source})\n  {method.summary}")
        for option, field in method.model_fields.items():
            print(f"  --set {option}={field.get_default()}  {field.description or ''}".rstrip())
        print()
    return 0
