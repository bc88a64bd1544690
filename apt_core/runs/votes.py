"""Blind votes: which of two answers a visitor preferred without knowing whose they were. No torch.

One file a visitor, `root/votes/<hash>.jsonl`, one vote a line; neither prompts nor answers are kept. The newest votes
and the visitors who voted last stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from apt_core.base.errors import DISK_FULL_ERRNOS, DiskFull, StoreUnusable
from apt_core.base.paths import data_dir
from apt_core.base.values import Frozen
from apt_core.measure.interval import share_interval

MOST_VOTES = 1000  # of a visitor
MOST_VISITORS = 500
Choice = Literal["first", "second", "tie", "bad"]
_SWAPPED: dict[Choice, Choice] = {"first": "second", "second": "first", "tie": "tie", "bad": "bad"}
_log = logging.getLogger(__name__)


class Vote(Frozen):
    """One choice between two models, named 'dense:<model>' or 'run:<id>', in alphabetical order."""

    version: Literal[1] = 1
    at: float
    pair: tuple[str, str]
    choice: Choice


class Tally(Frozen):
    """The votes of one visitor on one pair: how often the first was better, the second, neither, both bad."""

    first: int = 0
    second: int = 0
    ties: int = 0
    bad: int = 0

    @property
    def votes(self) -> int:
        return self.first + self.second + self.ties + self.bad

    @property
    def decided(self) -> int:
        return self.first + self.second

    @property
    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """Of the share that the first won of the decided votes."""
        return share_interval(self.first, self.decided)


class Votes:
    """Safe in threads. Raises DiskFull or StoreUnusable with one sentence where a vote cannot be kept."""

    def __init__(self, root: Path | None = None):
        self._folder = (root or data_dir()) / "votes"
        self._lock = threading.Lock()

    def add(self, visitor: str, first: str, second: str, choice: Choice) -> None:
        """first, second: the models as they are named in `Vote`, in any order."""
        pair, turned = _ordered(first, second)
        vote = Vote(at=time.time(), pair=pair, choice=_SWAPPED[choice] if turned else choice)
        with self._lock, _translated():
            file = self._file(visitor)
            kept = [*self._read(file), vote][-MOST_VOTES:]
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(f".{os.getpid()}.part")
            try:
                partial.write_text("".join(f"{one.model_dump_json()}\n" for one in kept), encoding="utf-8")
                os.replace(partial, file)
            finally:
                partial.unlink(missing_ok=True)
            self._forget_oldest()

    def tally(self, visitor: str, first: str, second: str) -> Tally:
        """Nothing where this visitor has not voted on the pair."""
        pair, turned = _ordered(first, second)
        votes = (vote for vote in self._read(self._file(visitor)) if vote.pair == pair)
        counts = Counter(_SWAPPED[vote.choice] if turned else vote.choice for vote in votes)
        return Tally(first=counts["first"], second=counts["second"], ties=counts["tie"], bad=counts["bad"])

    def _file(self, visitor: str) -> Path:
        """By a hash: whoever sees the folder cannot vote in somebody's name."""
        return self._folder / f"{hashlib.sha256(visitor.encode()).hexdigest()[:32]}.jsonl"

    def _read(self, file: Path) -> list[Vote]:
        """A line that cannot be read is left out and logged."""
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            try:
                found.append(Vote.model_validate_json(line))
            except ValidationError:
                _log.warning("A vote in %s cannot be read and is left out.", file)
        return found

    def _forget_oldest(self) -> None:
        kept = sorted(self._folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        for old in kept[:-MOST_VISITORS]:
            old.unlink(missing_ok=True)


def _ordered(first: str, second: str) -> tuple[tuple[str, str], bool]:
    """The pair in alphabetical order, and whether that turned it round."""
    return ((second, first), True) if second < first else ((first, second), False)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise DiskFull("The disk is full, so your vote is not counted; free some space.") from error
        raise StoreUnusable(f"Your vote cannot be written down ({error.strerror}).") from error
