"""A clock that jumps: processes of `benchmarks.chaos` add the seconds that a file says to the time of day."""

from __future__ import annotations

import time
from pathlib import Path

_FILE = "clock-offset"
_real = time.time


def follow(folder: Path) -> None:
    """From here on `time.time()` of this process is off by what the file in `folder` says, now and later."""
    file = folder / _FILE

    def shifted() -> float:
        try:
            return _real() + float(file.read_text())
        except (OSError, ValueError):
            return _real()

    time.time = shifted


def jump(folder: Path, seconds: float) -> None:
    """Set what the processes that follow `folder` are off by."""
    (folder / _FILE).write_text(str(seconds))
