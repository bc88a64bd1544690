"""Keeping standard output for our own messages: libraries print to it too."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

_STDOUT, _STDERR = 1, 2  # what libraries written in C print to


@contextlib.contextmanager
def only_ours() -> Iterator[TextIO]:
    """The true standard output, for us alone; whatever else prints to it meanwhile goes to standard error."""
    sys.stdout.flush()
    with os.fdopen(os.dup(_STDOUT), "w", encoding="utf-8") as out, contextlib.redirect_stdout(sys.stderr):
        os.dup2(_STDERR, _STDOUT)
        try:
            yield out
        finally:
            out.flush()
            os.dup2(out.fileno(), _STDOUT)
