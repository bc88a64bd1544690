"""A blocking call with a progress callback, turned into a generator of Progress events."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import TypeVar

from apt_core.events import FileBytes, Progress

T = TypeVar("T")
Report = Callable[..., None]  # as models.progress.Report
_HEARTBEAT_SECONDS = 1.0


class Abandoned(Exception):
    """Raised inside the call, at its next report, when nobody waits for it any more."""


def with_progress(call: Callable[[Report], T]) -> Generator[Progress, None, T]:
    """Run `call(report)` in a thread and yield what it reports; its result or exception comes through.

    Yields at least once a second (the last report again), so the caller can stop at any time; when the
    generator is closed, the call is ended at its next report.
    """
    reports: queue.Queue[Progress | None] = queue.Queue()
    outcome: dict[str, object] = {}
    abandoned = threading.Event()

    def report(
        stage: str, done: float, total: float, detail: str = "", files: tuple[FileBytes, ...] = ()
    ) -> None:
        if abandoned.is_set():
            raise Abandoned
        reports.put(Progress(stage=stage, done=done, total=total, detail=detail, files=files))

    def work() -> None:
        try:
            outcome["result"] = call(report)
        except BaseException as error:  # handed to the caller's thread, whatever it is
            outcome["error"] = error
        reports.put(None)

    threading.Thread(target=work, daemon=True).start()
    last: Progress | None = None
    try:
        while True:
            try:
                item = reports.get(timeout=_HEARTBEAT_SECONDS)
            except queue.Empty:
                item = last
                if item is None:
                    continue
            if item is None:
                break
            last = item
            yield item
    finally:
        abandoned.set()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]
