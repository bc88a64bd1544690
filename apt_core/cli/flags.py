"""Flags drawn from the fields of a job: a new field becomes a flag with its description and its default.

Not pydantic-settings, typer or cyclopts: the flags of nested fields would be called `--calibration.samples`, the two
ways to say a pattern and errors of one sentence would need as much code around them, and each is one more package.
"""

from __future__ import annotations

import argparse
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from apt_core.base.errors import PruneError
from apt_core.jobs.flags import JobField, job_fields

GROUPS = ("model", "how much", "method", "texts", "resources", "output")  # of a command's help, in this order
_GROUP_OF = {
    **dict.fromkeys(("calibration", "evaluation", "training", "tasks", "windows"), "texts"),
    **dict.fromkeys(("keep", "minutes", "optimiser_steps"), "how much"),
    **{"model": "model", "resources": "resources", "answers": "output", "resume": "output"},
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}


class Groups(dict[str, argparse._ArgumentGroup]):
    """The groups of a command's help, by their titles; one without a flag is not shown."""

    def __init__(self, parser: argparse.ArgumentParser):
        super().__init__((title, parser.add_argument_group(title)) for title in GROUPS)


def add_flags(
    parser: argparse.ArgumentParser,
    job: type[BaseModel],
    without: frozenset[str] = frozenset(),
    optional: frozenset[str] = frozenset(),
) -> Groups:
    """A flag for every plain field of the job but those that `without` names; returns the groups that they are in.

    optional: fields that the job requires and that may still be left out here.
    """
    groups = Groups(parser)
    paths: dict[str, str] = {}
    for field in job_fields(job):
        if field.path not in without:
            group = groups[_GROUP_OF.get(field.path.split(".")[0], "method")]
            paths[_add(group, field, field.path in optional).dest] = field.path
    parser.set_defaults(job_fields=paths)
    return groups


def in_flags(error: PruneError, options: argparse.Namespace | None) -> str:
    """The sentence of an error; of a field of a job that is out of bounds with the name of its flag."""
    cause = error.__cause__
    if options is None or not error.field or not isinstance(cause, ValidationError):
        return str(error)
    dests = {path: dest for dest, path in getattr(options, "job_fields", {}).items()}
    dest = dests.get(error.field, error.field)
    first = cause.errors()[0]
    if dest not in vars(options) or first["type"] not in _BOUNDS:
        return str(error)
    words, bound = _BOUNDS[first["type"]]
    return f"--{dest.replace('_', '-')} must be {words} {first['ctx'][bound]:g} (not {str(first['input'])[:20]})."


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


def _add(parser: argparse._ArgumentGroup, field: JobField, optional: bool) -> argparse.Action:
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
    """What its flag says, else the field's own description, and its default where it has one."""
    said = field.flag.help or field.info.description
    default = None if field.kind is bool or field.info.is_required() else field.info.get_default()
    words = [said] if said else []
    if default not in (None, ""):
        words.append(f"(default: {default})")
    return " ".join(words).replace("%", "%%")
