"""Flags drawn from the fields of a job: a new field appears here with its description and its default by itself.

Not pydantic-settings, typer or cyclopts: the flags of nested fields would be called `--calibration.samples`, the two
ways to say a pattern and errors of one sentence would need as much code around them, and each is one more package.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_WRITTEN_BY_HAND = frozenset({"method", "pattern"})  # `recipes` reads --method, --set, --sparsity, --pattern
_NOT_ASKED = frozenset({"kind", "schema_version"})


class Flag(NamedTuple):
    """How a field is called on the command line, where that is not its path; its own description goes first."""

    name: str
    metavar: str | None = None
    help: str = ""


# Fields whose flag is not --path-of-the-field.
FLAGS = {
    "model.id": Flag(
        "--model",
        "MODEL",
        "a name of 'models', a folder of safetensors, a Hub id, or run:ID for what a run made",
    ),
    "model.revision": Flag("--revision", "REVISION", "branch, tag or commit of a Hub model"),
    "calibration.text": Flag("--calibration", "NAME|FILE", "text that the statistics come from"),
    "calibration.samples": Flag("--samples", "N", "calibration windows at most"),
    "calibration.length": Flag("--length", "N", "tokens in each"),
    "evaluation.text": Flag(
        "--eval", "NAME|FILE", "text, or several with commas, that perplexity is measured on"
    ),
    "evaluation.samples": Flag("--eval-samples", "N", "evaluation windows at most"),
    "evaluation.length": Flag("--eval-length", "N", "tokens in each"),
    "seed": Flag("--seed", "N", "decides every random choice"),
    "resources.device": Flag("--device", help="where it is computed"),
    "resources.dtype": Flag("--dtype", help="the precision of the weights"),
    "resources.weights": Flag("--weights"),
    "resources.walk": Flag("--walk"),
}


class _Field(NamedTuple):
    path: str
    info: FieldInfo
    kind: Any  # the type, without None and without what Annotated says about it

    @property
    def flag(self) -> Flag:
        return FLAGS.get(self.path) or Flag("--" + self.path.replace(".", "-").replace("_", "-"))


def add_flags(
    parser: argparse.ArgumentParser, job: type[BaseModel], without: frozenset[str] = frozenset()
) -> None:
    """A flag for every plain field of the job but those that `without` names."""
    paths = {_add(parser, field).dest: field.path for field in _fields(job) if field.path not in without}
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


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[_Field]:
    """Every leaf of the job, in order. Of a field that holds several values of one kind, the leaves of that kind."""
    for name, info in model.model_fields.items():
        if name in _NOT_ASKED or prefix + name in _WRITTEN_BY_HAND:
            continue
        kind = _plain(info.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{prefix}{name}.")
        else:
            yield _Field(prefix + name, info, kind)


def _plain(kind: Any) -> Any:
    """`int | None` -> int; `tuple[Evaluation, ...]` -> Evaluation; `Annotated[X, ...]` -> X."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        left = [each for each in get_args(kind) if each is not type(None)]
        return _plain(left[0]) if len(left) == 1 else kind
    if get_origin(kind) is tuple and get_args(kind)[1:] == (...,):
        return _plain(get_args(kind)[0])
    return kind


def _add(parser: argparse.ArgumentParser, field: _Field) -> argparse.Action:
    """None stands for what was not said."""
    flag, help = field.flag, _help(field)
    if field.kind is bool:
        action = argparse.BooleanOptionalAction if field.info.default else "store_true"
        return parser.add_argument(flag.name, action=action, default=None, help=help)
    required = field.info.is_required()
    if get_origin(field.kind) is Literal:
        return parser.add_argument(flag.name, choices=get_args(field.kind), required=required, help=help)
    number = field.kind in (int, float)
    metavar = flag.metavar or ("N" if number else field.path.split(".")[-1].upper())
    read = field.kind if number else str
    return parser.add_argument(flag.name, type=read, metavar=metavar, required=required, help=help)


def _help(field: _Field) -> str:
    """The field's own description, and its default where it has one."""
    said = field.info.description or field.flag.help
    default = None if field.kind is bool or field.info.is_required() else field.info.get_default()
    words = [said] if said else []
    if default is not None:
        words.append(f"(default: {default})")
    return " ".join(words).replace("%", "%%")
