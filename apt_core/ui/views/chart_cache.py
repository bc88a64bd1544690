"""Charts that were made already: many tabs watch one run, and each of its charts is made once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
_MOST = 200


class ChartCache:
    """The newest charts by key. A second asker waits for the first instead of making one again."""

    def __init__(self, most: int = _MOST):
        self._most = most
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """`make()`, or what it gave for this key before."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            kept: T = self._kept[key]
            return kept
