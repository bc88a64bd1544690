"""Progress reports of a long operation."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from apt_core.events import FileBytes

# stage, done, total, detail, and of a download of several files how much of each has arrived
Report = Callable[..., None]
_SECONDS_BETWEEN = 0.2


def silent(
    stage: str, done: float, total: float, detail: str = "", files: tuple[FileBytes, ...] = ()
) -> None:
    """For callers that do not show progress."""


def throttled(report: Report) -> Report:
    """At most five reports a second; the first and the last (done == total) always come through."""
    last = float("-inf")

    def tell(stage: str, done: float, total: float, detail: str = "") -> None:
        nonlocal last
        now = monotonic()
        if now - last >= _SECONDS_BETWEEN or done >= total:
            last = now
            report(stage, done, total, detail)

    return tell
