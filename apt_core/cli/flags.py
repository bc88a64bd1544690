"""Flags drawn from the fields of a job: a new field becomes a flag with its description and its default.

Not pydantic-settings, typer or cyclopts: the flags of nested fields would be called `--calibration.samples`, the two
ways to say a pattern and errors of one sentence would need as much code around them, and each is one more package.
"""

from __future__ import annotations

import argparse
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from apt_core.jobs.flags import JobField, job_fields


def add_flags(
    parser: argparse.ArgumentParser,
    job: type[BaseModel],
    without: frozenset[str] = frozenset(),
    optional: frozenset[str] = frozenset(),
) -> None:
    """A flag for every plain field of the job but those that `without` names.

    optional: fields that the job requires and that may still be left out here.
    """
    fields = [field for field in job_fields(job) if field.path not in without]
    paths = {_add(parser, field, field.path in optional).dest: field.path for field in fields}
    parser.set_defaults(job_fields=paths)


def given(options: argparse.Namespace) -> dict[str, Any]:
    """What was said, nested as the job is; what was not said keeps the job's defaults."""
    found: dict[str, Any] = {}
    for name, path in options.job_fields.items():
        if (value := getattr(options, name)) is not None:
            *above, last = path.split(".")
            inner = found
            for step in above:
                inner = inner.setdefault(step, {})
            inner[last] = value
    return found


def _add(parser: argparse.ArgumentParser, field: JobField, optional: bool) -> argparse.Action:
    """None stands for what was not said."""
    flag, help = field.flag, _help(field)
    if field.kind is bool:
        action = argparse.BooleanOptionalAction if field.info.default else "store_true"
        return parser.add_argument(flag.name, action=action, default=None, help=help)
    required = field.info.is_required() and not optional
    if get_origin(field.kind) is Literal:
        return parser.add_argument(flag.name, choices=get_args(field.kind), required=required, help=help)
    number = field.kind in (int, float)
    metavar = flag.metavar or ("N" if number else field.path.split(".")[-1].upper())
    read = field.kind if number else str
    return parser.add_argument(flag.name, type=read, metavar=metavar, required=required, help=help)


def _help(field: JobField) -> str:
    """The field's own description, and its default where it has one."""
    said = field.info.description or field.flag.help
    default = None if field.kind is bool or field.info.is_required() else field.info.get_default()
    words = [said] if said else []
    if default is not None:
        words.append(f"(default: {default})")
    return " ".join(words).replace("%", "%%")
