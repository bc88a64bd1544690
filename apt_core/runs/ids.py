"""Names of runs: sortable by time, safe in a path, short enough to type."""

from __future__ import annotations

import re
import secrets
import time

from apt_core.base.errors import UnknownRun

RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")
LENGTH = 20  # characters of each


def new_id(now: float | None = None) -> str:
    """'20261124-130501-a1b2': the second (UTC) in which the run was asked for, and four random digits."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(2)}"


def is_run_id(text: str) -> bool:
    return isinstance(text, str) and RUN_ID.fullmatch(text) is not None


def check_id(text: str) -> str:
    """`text` when it has the form of a run id; raises UnknownRun otherwise, so no path can be made of it."""
    if not is_run_id(text):
        raise UnknownRun(f"There is no run {str(text)[:60]!r}; 'runs list' shows the runs that exist.")
    return text
