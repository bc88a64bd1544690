"""Asking other machines without hanging: every first question has a deadline."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from apt_core.base.errors import NotReachable

T = TypeVar("T")
CONNECT_SECONDS = 3.0
DEADLINE_SECONDS = 4.0  # for the whole first answer, name lookup included (which no socket timeout covers)


def within(call: Callable[[], T], unreachable: str, seconds: float | None = None) -> T:
    """The result of `call()`, or NotReachable(unreachable) when it has none in time.

    seconds: DEADLINE_SECONDS when None. After that the call goes on in a daemon thread, for nobody.
    The call sees the caller's context: whose token it asks with is kept there.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    thread.join(DEADLINE_SECONDS if seconds is None else seconds)
    if thread.is_alive():
        raise NotReachable(unreachable)
    if errors:
        raise errors[0]
    return results[0]
