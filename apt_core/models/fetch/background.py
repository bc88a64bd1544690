"""A blocking call with a progress callback, turned into a generator of Progress events."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from apt_core.base.heartbeat import items_of
from apt_core.events import FileBytes, Progress

T = TypeVar("T")
Report = Callable[..., None]  # as models.progress.Report
_HEARTBEAT_SECONDS = 1.0


def with_progress(call: Callable[[Report], T]) -> Generator[Progress, None, T]:
    """Run `call(report)` in a thread and yield what it reports; its result or exception comes through.

    Yields at least once a second (the last report again), so the caller can stop at any time; when the
    generator is closed, the call is ended at its next report.
    """

    def work(put: Callable[[Progress], None]) -> T:
        def report(
            stage: str, done: float, total: float, detail: str = "", files: tuple[FileBytes, ...] = ()
        ) -> None:
            put(Progress(stage=stage, done=done, total=total, detail=detail, files=files))

        return call(report)

    return (yield from _repeated(items_of(work, _HEARTBEAT_SECONDS)))


def _repeated(reports: Generator[Progress | None, None, T]) -> Generator[Progress, None, T]:
    """The last report again in place of silence; nothing before the first."""
    last: Progress | None = None
    try:
        while True:
            last = next(reports) or last
            if last is not None:
                yield last
    except StopIteration as done:
        return done.value
    finally:
        reports.close()
