"""What can be asked for: frozen, versioned requests, one file a kind, found on sight. Imports base and methods."""

from __future__ import annotations

import json
import logging
import pkgutil
from importlib import import_module
from importlib.metadata import entry_points
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, SerializeAsAny, ValidationError, ValidationInfo

from apt_core.base.errors import BadInput, field_of, one_sentence
from apt_core.base.values import Frozen
from apt_core.jobs.base import Job, name_of
from apt_core.jobs.evaluate import Evaluate
from apt_core.jobs.kinds import Pruning
from apt_core.jobs.parts import Calibration, Evaluation, ModelRef, Resources
from apt_core.jobs.prune import Prune
from apt_core.jobs.recover import Recover
from apt_core.jobs.schema import is_stored, lifted, stored_context
from apt_core.jobs.search import Search
from apt_core.jobs.shrink import Shrink

__all__ = [
    "JOBS",
    "AnyJob",
    "Calibration",
    "Evaluate",
    "Evaluation",
    "Job",
    "ModelRef",
    "Prune",
    "Pruning",
    "Recover",
    "Resources",
    "Search",
    "Shrink",
    "make_job",
    "make_value",
    "read_job",
]
_log = logging.getLogger(__name__)
Value = TypeVar("Value", bound=Frozen)


def _discover() -> dict[str, type[Job]]:
    """Kind -> its class: of the files of this folder, then of packages outside (entry points `apt_core.jobs`)."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    for entry in entry_points(group="apt_core.jobs"):
        try:
            entry.load()
        except Exception:  # whatever somebody else's package does at import, ours goes on without it
            _log.exception("The package that adds the job %s = %s cannot be loaded", entry.name, entry.value)
    return {name_of(kind): kind for kind in _subclasses(Job)}


def _subclasses(kind: type[Job]) -> list[type[Job]]:
    direct = kind.__subclasses__()
    return direct + [below for child in direct for below in _subclasses(child)]


JOBS: dict[str, type[Job]] = {}


def make_job(kind: str, **fields: Any) -> Job:
    """A checked job from plain data; raises BadInput with one sentence when it cannot work."""
    return make_value(_kind(kind), **fields)


def make_value(kind: type[Value], **fields: Any) -> Value:
    """A checked value from plain data; raises BadInput with one sentence."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        bad = BadInput(one_sentence(error))
        bad.field = field_of(error)
        raise bad from error


def read_job(stored: str | bytes | dict[str, Any]) -> Job:
    """A job that any version stored, as JSON or plain data; what only a later version knows is left out.

    Raises BadInput with one sentence when it cannot be read.
    """
    try:
        data = lifted(stored if isinstance(stored, dict) else _object(stored))
        return _kind(data.get("kind")).model_validate(data, extra="ignore", context=stored_context())
    except ValidationError as error:
        raise BadInput(one_sentence(error)) from error


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:  # also bytes that are not UTF-8
        raise BadInput("The stored job is not JSON.") from error
    if not isinstance(data, dict):
        raise BadInput("The stored job is not a JSON object.")
    return data


def _kind(name: Any) -> type[Job]:
    if not isinstance(name, str) or name not in JOBS:
        raise BadInput(f"There is no kind of job '{str(name)[:40]}'; the kinds are {', '.join(JOBS)}.")
    return JOBS[name]


def _of_its_kind(value: Any, info: ValidationInfo) -> Any:
    """Plain data -> the job of the kind that it names."""
    if not isinstance(value, dict):
        return value
    return read_job(value) if is_stored(info) else make_job(**{"kind": "prune"} | value)


# A field that holds a job of any kind.
AnyJob = Annotated[SerializeAsAny[Job], BeforeValidator(_of_its_kind)]

JOBS |= _discover()
