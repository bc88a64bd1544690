"""A log that says the same thing once a minute (or a few times), however often it happens."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict

_MOST = 256  # different messages that are remembered


class Once(logging.Filter):
    """Lets `burst` messages of one place in the code through, then counts them for the rest of `seconds`, and says how
    many more came."""

    def __init__(self, seconds: float = 60.0, burst: int = 1):
        super().__init__()
        self._seconds, self._burst = seconds, burst
        self._lock = threading.Lock()
        self._said: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.pathname, record.lineno, str(record.msg))
        now = time.monotonic()
        with self._lock:
            since, came = self._said.get(key, (float("-inf"), 0))
            if now - since < self._seconds:
                self._said[key] = (since, came + 1)
                return came < self._burst
            self._said[key] = (now, 1)
            self._said.move_to_end(key)
            while len(self._said) > _MOST:
                self._said.popitem(last=False)
        if (held := came - self._burst) > 0:
            record.msg, record.args = f"{record.getMessage()} (and {held} more times)", None
        return True


def quieten(*names: str) -> None:
    """Put the filter on these loggers, once."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(each, Once) for each in logger.filters):
            logger.addFilter(Once())
