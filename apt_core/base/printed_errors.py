"""Errors that would be printed past the log, by libraries or by Python itself: said through the log instead.

For a log that machines read: a traceback among its JSON objects would be as many broken lines as it has.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

_SAID = "%s"  # the same words for all, so that a filter counts them by the place in the code
_print_exc = traceback.print_exc


def take_over() -> None:
    """For the rest of this process. What is printed into a file of somebody's own stays there."""
    vars(traceback)["print_exc"] = _logged
    vars(sys)["excepthook"] = _uncaught
    vars(sys)["unraisablehook"] = _unraisable
    vars(threading)["excepthook"] = _of_thread
    logging.captureWarnings(True)


def _logged(limit: int | None = None, file: Any = None, chain: bool = True) -> None:
    """`traceback.print_exc`, under the name of the module that calls it."""
    error = sys.exception()
    if error is None or file not in (None, sys.stderr):
        _print_exc(limit, file, chain)
        return
    module = str(sys._getframe(1).f_globals.get("__name__", ""))
    logging.getLogger(module).error(_SAID, _in_words(error), exc_info=error, stacklevel=2)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("uncaught").error(_SAID, _in_words(error), exc_info=(kind, error, trace))


def _of_thread(said: threading.ExceptHookArgs) -> None:
    if said.exc_value is not None and said.exc_type is not SystemExit:
        _uncaught(said.exc_type, said.exc_value, said.exc_traceback)


def _unraisable(said: Any) -> None:
    if said.exc_value is not None:
        _uncaught(said.exc_type, said.exc_value, said.exc_traceback)


def _in_words(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()
