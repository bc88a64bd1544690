"""How a process of ours writes its log: to standard error, as plain lines or (APT_LOG=json) as one JSON object a line.

Files are bounded where they are written: what a child process writes into one is its own, so the file is emptied when
it has grown, with what was in it kept once beside it (as `logrotate` does with `copytruncate`).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from apt_core.base import printed_errors
from apt_core.base.errors import BadInput

_PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MOST_BYTES = 2_000_000  # of a file; another as large lies beside it
_LONGEST = 16_000  # characters of a message or a traceback
_bounding = threading.Lock()


def set_up(
    environment: Mapping[str, str],
    level: int = logging.INFO,
    request: Callable[[], str] = lambda: "",
    *filters: logging.Filter,
) -> None:
    """The log of this process. request: the id of the request that is being answered, empty where none is.
    filters: what is not said. Raises BadInput."""
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(environment, request))
    for each in filters:
        handler.addFilter(each)
    logging.basicConfig(level=level, handlers=[handler])
    if filters or isinstance(handler.formatter, JsonLines):  # what is printed passes no filter
        printed_errors.take_over()
    logging.getLogger("apt_core").setLevel(logging.INFO)


def set_up_child(environment: Mapping[str, str]) -> None:
    """The log of a child process. Its parent has already reported what is wrong with APT_LOG."""
    asked = environment.get("APT_LOG", "")
    set_up({"APT_LOG": asked} if asked == "json" else {})


def _formatter(environment: Mapping[str, str], request: Callable[[], str]) -> logging.Formatter:
    match environment.get("APT_LOG", "") or "text":
        case "json":
            return JsonLines(request)
        case "text":
            return PlainLines(request)
        case other:
            raise BadInput(f"APT_LOG is {other[:20]!r}; set it to json or text.")


class PlainLines(logging.Formatter):
    """A line for people, with the request at its end where there is one."""

    def __init__(self, request: Callable[[], str]):
        super().__init__(_PLAIN)
        self._request = request

    def formatMessage(self, record: logging.LogRecord) -> str:
        said, request = super().formatMessage(record), self._request()
        return f"{said} [{request}]" if request else said


class JsonLines(logging.Formatter):
    """time (UTC), level, logger, message, and where there are any request and exception."""

    def __init__(self, request: Callable[[], str]):
        super().__init__()
        self._request = request

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": _utc(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:_LONGEST],
        }
        if request := self._request():
            said["request"] = request
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)[-_LONGEST:]
        return json.dumps(said, ensure_ascii=False)


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def begin(file: Path) -> IO[bytes]:
    """An empty log for a child process: what it writes always goes to the end, wherever that is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    return open(file, "ab")


def bound(file: Path, most: int = _MOST_BYTES) -> None:
    """Empty a log that has grown above so many bytes; its last bytes are kept in `<name>.1`.

    One thread at a time: a second that saw the same size would keep the end of the emptied log, nothing.
    """
    with _bounding, suppress(OSError):  # not there, or the disk is full: the next look may do better
        if file.stat().st_size > most:
            _keep_end(file, file.with_name(f"{file.name}.1"), most)
            os.truncate(file, 0)


def _keep_end(file: Path, beside: Path, most: int) -> None:
    with open(file, "rb") as source, open(beside, "wb") as target:
        source.seek(-most, os.SEEK_END)
        shutil.copyfileobj(source, target)
