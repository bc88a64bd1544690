"""Runs that were deleted less than a minute ago: hidden, and still restorable.

A hidden run is its folder under another name, `.hidden-<id>-<second>-<study>`, so that nobody who looks for the run
finds it, and hiding it needs no room on a full disk. What is older goes for good with the next look of a launcher.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from apt_core.runs.ids import RUN_ID

SECONDS = 60.0  # how long a deletion can be undone
_ALONE = "alone"
_DOOMED = ".deleted-"
_HIDDEN = re.compile(rf"\.hidden-({RUN_ID.pattern})-(\d{{1,12}})-({RUN_ID.pattern}|{_ALONE})")


class Hidden(NamedTuple):
    """One of them. at: the second in which it was hidden; runs that were deleted together share it."""

    run: str
    at: int
    study: str  # empty for a run that stood alone
    folder: Path

    @property
    def seconds_left(self) -> float:
        """Until it goes for good; 0 for a second that lies ahead of the clock."""
        age = time.time() - self.at
        return max(0.0, SECONDS - age) if age > -SECONDS else 0.0


def put_away(runs: Path, run_id: str, study: str, at: int) -> Hidden:
    """Hide the folder of a run; a run whose folder is gone already leaves nothing to hide."""
    hidden = Hidden(run_id, at, study, runs / f".hidden-{run_id}-{at}-{study or _ALONE}")
    if (runs / run_id).exists():
        os.replace(runs / run_id, hidden.folder)
    return hidden


def bring_back(runs: Path, hidden: Hidden) -> bool:
    """Whether it was still there; somebody may have swept it, or brought it back, just now."""
    try:
        os.rename(hidden.folder, runs / hidden.run)
        return True
    except OSError:
        return False


def found(runs: Path) -> list[Hidden]:
    """All of them, the last to be hidden first."""
    try:
        names = [entry.name for entry in os.scandir(runs) if entry.name.startswith(".hidden-")]
    except OSError:
        return []
    matches = [match for name in names if (match := _HIDDEN.fullmatch(name))]
    hidden = [
        Hidden(match[1], int(match[2]), match[3].removesuffix(_ALONE), runs / match[0]) for match in matches
    ]
    return sorted(hidden, key=lambda one: (one.at, one.run), reverse=True)


def doom(runs: Path, folder: Path, run_id: str) -> None:
    """Take the folder of a run out of sight for good, at once for everybody; `clear` removes it."""
    if folder.exists():
        os.replace(folder, runs / f"{_DOOMED}{run_id}")


def spare(runs: Path, run_id: str) -> None:
    """Undo `doom`."""
    if (runs / f"{_DOOMED}{run_id}").exists():
        os.replace(runs / f"{_DOOMED}{run_id}", runs / run_id)


def doomed(runs: Path) -> list[str]:
    """The runs whose removal has begun and has not come to its end, here or in another process."""
    return [path.name.removeprefix(_DOOMED) for path in runs.glob(f"{_DOOMED}*")]


def clear(runs: Path) -> None:
    """Remove what is doomed, also what an earlier, interrupted removal left."""
    for path in runs.glob(f"{_DOOMED}*"):
        shutil.rmtree(path, ignore_errors=True)  # what stays is out of sight, and goes with the next one
