"""Runs as they were within the last second: one read of the store serves all tabs."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from apt_core.events.records import RunRecord

LATELY_SECONDS = 1.0
_MOST_LOOKS = 256  # visitors and studies whose runs are remembered for so long


class Lately:
    """Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def runs(self, key: Hashable, look: Callable[[], list[RunRecord]]) -> list[RunRecord]:
        """What `look()` finds, or found lately for the same key."""
        with self._lock:
            at, found = self._looks.get(key, (float("-inf"), []))
            if time.monotonic() - at > LATELY_SECONDS:
                found = look()
                self._looks[key] = (time.monotonic(), found)
                while len(self._looks) > _MOST_LOOKS:
                    self._looks.popitem(last=False)
            return found

    def forget(self) -> None:
        """Something was done: the next look is a fresh one."""
        self._looks: OrderedDict[Hashable, tuple[float, list[RunRecord]]] = OrderedDict()
