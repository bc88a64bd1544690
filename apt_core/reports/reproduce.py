"""The same job from the command line and from Python, naming only what differs from the defaults."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from apt_core.base.patterns import SemiStructured
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.events.records import public_name
from apt_core.jobs import Evaluation, Job, Prune, Recover
from apt_core.jobs.flags import JobField, job_fields
from apt_core.jobs.kinds import Composed, is_composed, measures, trains

_NAMES_SOURCES = frozenset({"model.id", "calibration.text", "training.text", "evaluation.text"})
_SAID_APART = frozenset({"kind", "schema_version", "model", "method", "pattern", "evaluation", "resources"})
_WIDE = 88  # a call that is longer has a line for each argument


class Copied(NamedTuple):
    """The same, asked for in both ways, ready to copy."""

    command: str
    python: str


def command(job: Job, rivals: Sequence[Prune] = (), policy: HostPolicy = STRICT) -> str:
    """`python -m apt_core prune ...`, naming only what differs from the defaults."""
    arguments = _arguments(job, policy)
    if rivals:
        arguments += ["--race", ",".join(rival.method.name for rival in rivals)]
    return " ".join([f"python -m apt_core {job.kind}", *map(shlex.quote, arguments)])


def python_source(jobs: Sequence[Job], policy: HostPolicy = STRICT) -> str:
    """A script that does these jobs: `record` of one job, a list of `records` of several."""
    if len(jobs) == 1:
        name, made = ("measured" if measures(jobs[0]) else "record"), _call(jobs[0], policy)
    else:
        calls = "".join(f"{_indented(_call(job, policy))},\n" for job in jobs)
        name, made = "records", f"[\n{calls}]"
    return f"import apt_core\n\n{name} = {made}\n"


# --- Python --------------------------------------------------------------------------------------


def python_call(job: Composed, policy: HostPolicy, pattern: str) -> str:
    """The call that prunes as this job does, its pattern an expression of the caller's."""
    sentinel = "<pattern>"
    arguments = _method_arguments(job) | {"pattern": sentinel} | _fields(job)
    windows = [_window(one, policy) for one in job.evaluation]
    if windows != [{}]:
        arguments["evaluation"] = windows if len(windows) > 1 else windows[0]
    if job.model.revision is not None:
        arguments["revision"] = job.model.revision
    first = _literal(public_name(job.model.id, policy))
    call = _written("apt_core.prune", [first], _public(arguments, policy))
    return call.replace(_literal(sentinel), pattern)


def _call(job: Job, policy: HostPolicy) -> str:
    first = _literal(job.model.run if trains(job) else public_name(job.model.id, policy))
    arguments: dict[str, Any] = {}
    if job.model.revision is not None:
        arguments["revision"] = job.model.revision
    if is_composed(job):
        arguments |= _method_arguments(job)
    if trains(job):
        arguments |= _recovery_arguments(job)
    arguments |= _fields(job)
    windows = [_window(one, policy) for one in job.evaluation]
    if measures(job):
        return _written("apt_core.evaluate", [first, *_texts(windows)], arguments)
    if windows != [{}]:
        arguments["evaluation"] = windows if len(windows) > 1 else windows[0]
    function = "prune" if is_composed(job) else job.kind
    return _written(f"apt_core.{function}", [first], _public(arguments, policy))


def _method_arguments(job: Composed) -> dict[str, Any]:
    n_m = isinstance(job.pattern, SemiStructured)
    pattern = job.pattern.label if n_m else job.pattern.sparsity
    changes = {path: _plain(value) for path, value in job.method.changes().items()}
    return {"method": job.method.name, "pattern": pattern} | ({"options": changes} if changes else {})


def _recovery_arguments(job: Recover) -> dict[str, Any]:
    changes = _recovery_changes(job)
    return {"method": {"name": job.method.name} | changes if changes else job.method.name}


def _recovery_changes(job: Recover) -> dict[str, Any]:
    fields = type(job.method).model_fields
    own = {name: getattr(job.method, name) for name in fields}
    return {name: value for name, value in own.items() if value != fields[name].default}


def _fields(job: Job) -> dict[str, Any]:
    """The keywords of every other field that differs from its default; resources are keywords of their own."""
    found: dict[str, Any] = {}
    for name, info in type(job).model_fields.items():
        default = info.get_default(call_default_factory=True)
        if name not in _SAID_APART and getattr(job, name) != default:
            found[name] = _changes(getattr(job, name), default)
    return found | _changes(job.resources, type(job.resources)())


def _changes(value: Any, default: Any) -> Any:
    """Of a group of fields those that differ, of anything else the value."""
    if not isinstance(value, BaseModel) or type(value) is not type(default):
        return _plain(value)
    fields = {name: (getattr(value, name), getattr(default, name)) for name in type(value).model_fields}
    return {name: _changes(own, usual) for name, (own, usual) in fields.items() if own != usual}


def _window(evaluation: Evaluation, policy: HostPolicy) -> dict[str, Any]:
    changed: dict[str, Any] = _changes(evaluation, Evaluation())
    return changed | ({"text": public_name(evaluation.text, policy)} if "text" in changed else {})


def _texts(windows: list[dict[str, Any]]) -> list[str]:
    """The second argument of `evaluate`: a text, several, or texts with windows of their own; none where usual."""
    if windows == [{}]:
        return []
    if len(windows) == 1 and windows[0].keys() == {"text"}:
        return [_literal(windows[0]["text"])]
    usual = Evaluation().text
    if all(one.keys() <= {"text"} for one in windows):
        return [_literal([one.get("text", usual) for one in windows])]
    return [_literal([{"text": usual} | one for one in windows])]


def _public(arguments: dict[str, Any], policy: HostPolicy) -> dict[str, Any]:
    named = {
        part: read | {"text": public_name(read["text"], policy)}
        for part in ("calibration", "training")
        if "text" in (read := arguments.get(part, {}))
    }
    return arguments | named


def _written(function: str, first: list[str], arguments: dict[str, Any]) -> str:
    said = [*first, *(f"{name}={_literal(value)}" for name, value in arguments.items())]
    line = f"{function}({', '.join(said)})"
    if len(line) <= _WIDE:
        return line
    return f"{function}(\n" + "".join(f"{_indented(one)},\n" for one in said) + ")"


def _literal(value: Any) -> str:
    """As Python writes it, text in double quotes where that is as plain."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(name)}: {_literal(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    text = repr(value)
    plain = isinstance(value, str) and text.startswith("'") and '"' not in text and "\\'" not in text
    return f'"{text[1:-1]}"' if plain else text


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return list(value) if isinstance(value, tuple) else value


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


# --- command line --------------------------------------------------------------------------------


def _arguments(job: Job, policy: HostPolicy) -> list[str]:
    """The flags of every field that differs from its default; of a pruning job also the method and the pattern."""
    out: list[str] = []
    for field in job_fields(type(job)):
        if trains(job) and field.path == "model.id":
            out += ["--run", str(job.model.run), "--method", job.method.name]
            continue
        out += _flag(field, field.values(job), policy)
        if field.path == "model.revision" and is_composed(job):
            out += _method_and_pattern(job)
    if trains(job):
        changes = _recovery_changes(job)
        return out + [word for name, value in changes.items() for word in ("--set", f"{name}={value}")]
    return out + (option_flags(job) if is_composed(job) else [])


def field_flags(job: Prune, policy: HostPolicy, without: frozenset[str]) -> list[str]:
    """The flags of the fields that differ from their defaults, but for these paths, for method and pattern."""
    fields = [field for field in job_fields(Prune) if field.path not in without]
    return [word for field in fields for word in _flag(field, field.values(job), policy)]


def _flag(field: JobField, values: Sequence[Any], policy: HostPolicy) -> list[str]:
    if field.kind is bool:
        yes = field.flag.name
        return [] if values[0] == field.default else [yes if values[0] else "--no-" + yes.removeprefix("--")]
    if field.path in _NAMES_SOURCES:
        values = [",".join(public_name(value, policy) for value in values)]
    return [] if values[0] == field.default else [field.flag.name, str(values[0])]


def _method_and_pattern(job: Composed) -> list[str]:
    method = ["--method", job.method.name]
    if isinstance(job.pattern, SemiStructured):
        return [*method, "--pattern", job.pattern.label]
    return [*method, "--sparsity", exact(job.pattern.sparsity)]


def exact(sparsity: float) -> str:
    """As short as it can be written without becoming another number."""
    short = f"{sparsity:g}"
    return short if float(short) == sparsity else repr(sparsity)


def option_flags(job: Composed) -> list[str]:
    """`--set KEY=VALUE` for every option of the method that differs from its default."""
    return [word for name, value in job.method.changes().items() for word in ("--set", f"{name}={value}")]
