"""Fewer Progress events: a few a second are enough to draw, and the log stays short."""

from __future__ import annotations

import time
from collections.abc import Callable

from apt_core import events as ev

_SECONDS_PER_FILE = 0.1


class Throttle:
    """Lets Progress through at most every `seconds`, but never drops the last one of a stage.

    Every other event goes through at once. `take(event)` gives the events to write now; a Progress
    that is held back is written when its stage ends. One that says what was said before is only a sign
    of life and waits for ten times as long; one that names many files is a long line and waits longer too.
    """

    def __init__(self, seconds: float = 0.5, clock: Callable[[], float] = time.monotonic):
        self._seconds = seconds
        self._clock = clock
        self._held: ev.Progress | None = None
        self._written: ev.Progress | None = None
        self._written_at = float("-inf")

    def take(self, event: ev.Event) -> list[ev.Event]:
        if not isinstance(event, ev.Progress):
            ends_stage = not isinstance(
                event, ev.LayerPruned | ev.Trained | ev.Generation | ev.Warned | ev.Used
            )
            return [*(self.flush() if ends_stage else []), event]
        if self._written is None or event.stage != self._written.stage:
            return [*self.flush(), self._write(event)]
        waited = self._clock() - self._written_at
        if event == self._written:
            return [self._write(event)] if waited >= 10 * self._seconds else []
        if waited >= max(self._seconds, _SECONDS_PER_FILE * len(event.files)) or event.done >= event.total:
            return [self._write(event)]
        self._held = event
        return []

    def flush(self) -> list[ev.Event]:
        """What was held back, once nothing more of its stage can come."""
        return [self._write(self._held)] if self._held else []

    def _write(self, event: ev.Progress) -> ev.Progress:
        self._held = None
        self._written = event
        self._written_at = self._clock()
        return event
