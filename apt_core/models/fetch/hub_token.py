"""Whose Hub token is used: the visitor's, the one typed into the page, or what the machine is logged in with.

A token lives in memory only: in the context of one request of the page, in the app, in the worker that was
handed it. It is never part of a job, a log, a command line or an environment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from apt_core.base.policy import STRICT, HostPolicy

_of_request: ContextVar[str | None] = ContextVar("hub_token", default=None)
_of_process: str | None = None


def token(policy: HostPolicy = STRICT) -> str | bool | None:
    """What huggingface_hub is to be given.

    None lets it find the user's own (HF_TOKEN, its login). False on a public host without a visitor's token:
    visitors never use the owner's.
    """
    return handed() or (False if policy.public else None)


def handed() -> str | None:
    """The token that somebody gave to this request or process, None when nobody did."""
    return _of_request.get() or _of_process


def keep(given: str | None) -> None:
    """Use this token in the whole process from now on; None or blanks forget it."""
    global _of_process
    _of_process = (given or "").strip() or None


@contextmanager
def of_visitor(given: str | None) -> Iterator[None]:
    """Within this block, and in what it asks with `network.within`, the token is this visitor's."""
    before = _of_request.set(given)
    try:
        yield
    finally:
        _of_request.reset(before)


def fingerprint() -> str:
    """Another one for every token, so that answers are remembered for whom they were given; '' for none."""
    mine = handed()
    return hashlib.sha256(mine.encode()).hexdigest()[:16] if mine else ""
