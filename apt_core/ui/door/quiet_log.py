"""A log that says the same thing once a minute, however often it happens."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict

_MOST = 256  # different messages that are remembered


class Once(logging.Filter):
    """Lets a message of one place in the code through, then counts it for `seconds`, and says how often it came."""

    def __init__(self, seconds: float = 60.0):
        super().__init__()
        self._seconds = seconds
        self._lock = threading.Lock()
        self._said: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.pathname, record.lineno, str(record.msg))
        now = time.monotonic()
        with self._lock:
            said_at, held = self._said.get(key, (float("-inf"), 0))
            if now - said_at < self._seconds:
                self._said[key] = (said_at, held + 1)
                return False
            self._said[key] = (now, 0)
            self._said.move_to_end(key)
            while len(self._said) > _MOST:
                self._said.popitem(last=False)
        if held:
            record.msg, record.args = f"{record.getMessage()} (and {held} more times)", None
        return True


def quieten(*names: str) -> None:
    """Put the filter on these loggers, once."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(each, Once) for each in logger.filters):
            logger.addFilter(Once())
