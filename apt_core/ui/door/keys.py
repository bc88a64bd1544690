"""The keys that sign this host's cookies: the two newest, in a file of the data folder that only its owner can read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from itsdangerous import URLSafeTimedSerializer

_FILE = "keys.json"
_KEPT = 2
_DAYS = 30.0
_log = logging.getLogger(__name__)


class SigningKeys:
    """A new key every `days`; what the one before has signed still holds, until it goes as well.

    Safe in threads and processes. Where the folder cannot be written the keys live as long as this process.
    """

    def __init__(self, folder: Path, days: float = _DAYS, clock: Callable[[], float] = time.time):
        self._path = folder / _FILE
        self._seconds = 86_400 * days
        self._clock = clock
        self._lock = threading.Lock()
        self._known: list[dict[str, Any]] = []  # oldest first

    @property
    def seconds(self) -> float:
        """How long a key signs."""
        return self._seconds

    def serializer(self, salt: str) -> URLSafeTimedSerializer:
        """Signs with the newest key, and reads what either has signed. salt: what the signature is for."""
        return URLSafeTimedSerializer([one["key"] for one in self._current()], salt=salt)

    def _current(self) -> list[dict[str, Any]]:
        with self._lock:
            if not self._fresh(self._known):
                with self._alone():
                    self._known = _read(self._path) or self._known
                    if not self._fresh(self._known):
                        made = {"made": self._clock(), "key": secrets.token_urlsafe(32)}
                        self._known = [*self._known, made][-_KEPT:]
                        self._write()
            return self._known

    def _fresh(self, known: list[dict[str, Any]]) -> bool:
        return bool(known) and self._clock() - known[-1]["made"] < self._seconds

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time makes a key."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._path.with_name(f"{_FILE}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            _log.warning("The signing keys stay in memory: %s", error)
            yield
            return
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:  # a network's folder
                _log.warning("Nothing can be locked in %s: %s", self._path.parent, error)
            yield
        finally:
            os.close(lock)

    def _write(self) -> None:
        partial = self._path.with_name(f"{_FILE}.part")
        try:
            partial.unlink(missing_ok=True)  # so that the mode is ours from the first byte
            with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                json.dump(self._known, file)
            os.replace(partial, self._path)
        except OSError as error:
            _log.warning("The signing keys stay in memory: %s", error)


def _read(path: Path) -> list[dict[str, Any]]:
    """None of them where the file is not there, or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [{"made": float(one["made"]), "key": str(one["key"])} for one in found][-_KEPT:]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        _log.warning("%s cannot be read, so visitors are known no more: %s", path, error)
        return []
