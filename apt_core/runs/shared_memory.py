"""What the processes of one page may hold of the machine's memory together: each gets what those before it leave.

The order says who goes where it is not enough for all: the warm process first, which nobody misses, then the one that
looks inside runs and the one that answers questions, which begin anew, then the run that began last.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import psutil

from apt_core.base import words
from apt_core.base.errors import OutOfMemory
from apt_core.runs import processes

RUNS, READER, INSPECTOR, WARM = "runs", "reader", "inspector", "warm"
_ORDER = (RUNS, READER, INSPECTOR, WARM)  # behind the page itself
_LEAST_BYTES = 500_000_000  # that a process holds once it has loaded its libraries and a small model


class SharedMemory:
    """most: bytes of all together; None for as much as there is."""

    def __init__(self, most: int | None = None):
        self._most = most
        self._held: dict[str, Callable[[], int]] = {}

    def joins(self, who: str, held: Callable[[], int]) -> None:
        """held: the bytes that `who` holds now."""
        self._held[who] = held

    def left_for(self, who: str) -> int | None:
        """Bytes that `who` may hold beside the page and those before it; None where nothing is limited."""
        if self._most is None:
            return None
        before = (self._held[one]() for one in _ORDER[: _ORDER.index(who)] if one in self._held)
        return max(0, self._most - psutil.Process(os.getpid()).memory_info().rss - sum(before))

    def left_for_run(self, before: Callable[[], list[int]]) -> int | None:
        """The same for a run, beside the runs that began before it. before: their workers."""
        left = self.left_for(RUNS)
        return None if left is None else max(0, left - sum(map(processes.memory_of, before())))

    def check_room(self, who: str) -> None:
        """Raise OutOfMemory where a process is not worth beginning."""
        left = self.left_for(who)
        if left is not None and left < _LEAST_BYTES:
            raise OutOfMemory(
                f"What is at work here leaves {words.size(left)} of memory, too little for a model; try again when the "
                "runs have ended."
            )
