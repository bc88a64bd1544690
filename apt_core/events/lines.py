"""Lines of a run's log: written in the newest form, read in the form of any version."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from pydantic import ValidationError

from apt_core.events.common import KNOWN, Stamped, Unknown

_IN_TODAYS_FORM = re.compile(rb'\{"seq":\d+,"version":2,')
_STAGES = {"dense_eval": "dense", "pruned_eval": "pruned"}
Data = dict[str, Any]


def dump_line(stamped: Stamped) -> str:
    return stamped.model_dump_json()


def parse_line(line: str | bytes) -> Stamped:
    """One line of any version; fields and events that only a later version knows are left out of the value.

    Raises pydantic.ValidationError on a torn or foreign line.
    """
    line = line.encode() if isinstance(line, str) else line
    if _IN_TODAYS_FORM.match(line):
        with contextlib.suppress(ValidationError):
            read = Stamped.model_validate_json(line, extra="ignore")
            if not isinstance(read.event, Unknown):
                return read
    return read_stamped(_object(line))


def read_stamped(data: Any) -> Stamped:
    """The same of plain data, such as one entry of a recorded sample."""
    if not isinstance(data, dict) or not isinstance(data.get("event"), dict):
        return Stamped.model_validate(data)  # raises
    if data.get("version", 1) == 1:
        data = {**data, "version": 2, "event": _lifted(data["event"])}
    try:
        if data["event"].get("kind") in KNOWN:
            return Stamped.model_validate(data, extra="ignore")
    except ValidationError:
        if not _is_later(data):
            raise
        # A later version writes this event in a form that does not fit: its place in the log still counts.
    return Stamped.model_validate({**data, "event": Unknown(**data["event"])}, extra="ignore")


def _is_later(data: Data) -> bool:
    return isinstance(data["version"], int) and data["version"] > Stamped.model_fields["version"].default


def _object(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return Stamped.model_validate_json(line)  # raises with pydantic's words


def _lifted(event: Data) -> Data:
    """Version 1 called the subject a side, and had one stage of evaluation for each."""
    event = dict(event)
    if "side" in event:
        event["subject"] = event.pop("side")
    if event.get("kind") == "progress" and event.get("stage") in _STAGES:
        event |= {"stage": "evaluate", "subject": _STAGES[event["stage"]]}
    return event
