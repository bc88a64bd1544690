"""A question to the inspector, its steps in one changing line, its answer printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apt_core.base.errors import exit_status_of
from apt_core.cli.output import count_line, print_json, say
from apt_core.events import Failed
from apt_core.measure.inside.questions import Answer, Looking, Question
from apt_core.runs.inspecting import Inspector


def look(
    inspector: Inspector,
    question: Question,
    as_json: bool,
    data: Callable[[Any], Any],
    text: Callable[[Any], str],
) -> int:
    """Ask, print `data` (JSON) or `text` of the answer, or the one sentence; the exit status."""
    try:
        last = _last(inspector, question)
    finally:
        inspector.close()
    if isinstance(last, Failed):
        say(last.message)
        if as_json:
            print_json({"error": {"kind": last.reason, "message": last.message}})
        return exit_status_of(last.reason)
    if as_json:
        print_json(data(last))
    else:
        print(text(last))
    return 0


def _last(inspector: Inspector, question: Question) -> Answer | Failed:
    for reply in inspector.ask(question):
        if not isinstance(reply, Looking):
            count_line("")
            return reply
        count_line(f"{reply.detail}, {reply.done} of {reply.total}" if reply.total > 1 else reply.detail)
    raise RuntimeError("the inspector ended without an answer")
