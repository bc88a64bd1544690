"""Which fields of several jobs differ, and which are the same; over jobs of any kind. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.words import DASH
from apt_core.events.records import RunRecord, public_name
from apt_core.jobs import Job

_NOT_ASKED = ("schema_version",)
_ORDER = ("kind", "model", "method", "pattern", "seed", "calibration", "evaluation", "optional_layers")

Fields = dict[str, Any]  # dotted path -> plain value, a list where the texts of a job differ in it


class Differing(NamedTuple):
    """differing: path -> run -> value, None where the job of that run has no such field. shared: path -> value."""

    differing: dict[str, dict[str, Any]]
    shared: Fields


def differing_fields(records: Sequence[RunRecord], policy: HostPolicy = STRICT) -> Differing:
    """The fields of these jobs, apart into those that differ and those that are the same for all.

    Values are compared as they are, then named as `policy` allows: two files of one name still differ.
    """
    fields = {record.id: fields_of(record.job) for record in records}
    said = {run: named(of, policy) for run, of in fields.items()}
    differing: dict[str, dict[str, Any]] = {}
    shared: Fields = {}
    for path in dict.fromkeys(path for of in fields.values() for path in of):
        first = next(iter(fields.values())).get(path)
        if all(of.get(path) == first for of in fields.values()):
            own = next(iter(said.values()))
            if (
                path in own
            ):  # else a field that the first job does not have and that stands empty in the others
                shared[path] = own[path]
        else:
            differing[path] = {run: of.get(path) for run, of in said.items()}
    return Differing(differing, shared)


def fields_of(job: Job) -> Fields:
    """Every field by its dotted path, the most telling first: {"method": "apt", "method.mask.block_size": 256}.

    A component is named by its slot ("method.mask": "admm"), a pattern by its label ("2:4").
    """
    found = {"kind": job.kind, **_flat("", job.model_dump(mode="json", exclude=set(_NOT_ASKED)))}
    pattern = getattr(job, "pattern", None)
    if isinstance(pattern, Unstructured | SemiStructured):
        found = {path: value for path, value in found.items() if not path.startswith("pattern.")}
        found["pattern"] = pattern.label
    return dict(sorted(found.items(), key=lambda pair: _place(pair[0])))


def named(fields: Fields, policy: HostPolicy) -> Fields:
    """The same fields, on a public host with files by their titles."""

    def name(value: Any) -> Any:
        if isinstance(value, list):
            return [name(one) for one in value]
        return public_name(value, policy) if _is_path(value) else value

    return {path: name(value) for path, value in fields.items()}


def said(value: Any) -> str:
    """A value as people read it: a dash where a job has no such field."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(said, value)) if isinstance(value, list) else str(value)


def _flat(prefix: str, value: Mapping[str, Any]) -> Fields:
    found: Fields = {}
    for name, inner in value.items():
        path = prefix.removesuffix(".") if name == "name" and prefix else prefix + name
        if isinstance(inner, dict):
            found |= _flat(f"{prefix}{name}.", inner)
        elif isinstance(inner, list) and inner and all(isinstance(one, dict) for one in inner):
            found |= _together([_flat(f"{prefix}{name}.", one) for one in inner])
        else:
            found[path] = inner
    return found


def _together(members: Sequence[Fields]) -> Fields:
    """Of several texts the values of each field as a list; one value where it is the same for all of them."""
    paths = dict.fromkeys(path for member in members for path in member)
    values = {path: [member.get(path) for member in members] for path in paths}
    return {path: of[0] if all(one == of[0] for one in of) else of for path, of in values.items()}


def _place(path: str) -> int:
    top = path.split(".", 1)[0]
    return _ORDER.index(top) if top in _ORDER else len(_ORDER)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and Path(value).is_absolute()
