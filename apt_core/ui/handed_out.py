"""Files that the page makes for one visitor: in memory, under an address that nobody can guess, the oldest going."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import NamedTuple

_MOST_FILES, _MOST_CHARACTERS = 200, 20_000_000


class HandedOut(NamedTuple):
    name: str
    media_type: str
    text: str


class Handouts:
    """Safe in threads. Never more than so many files and characters: the oldest go."""

    def __init__(self, most_files: int = _MOST_FILES, most_characters: int = _MOST_CHARACTERS):
        self._files: OrderedDict[str, HandedOut] = OrderedDict()
        self._most_files, self._most_characters = most_files, most_characters
        self._lock = threading.Lock()

    def put(self, name: str, media_type: str, text: str) -> str:
        """Keep it; returns its address, as a page of this app says it."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._files[key] = HandedOut(name, media_type, text)
            while len(self._files) > 1 and self._too_much():
                self._files.popitem(last=False)
        return f"studio/answers/{key}/{name}"

    def get(self, key: str) -> HandedOut | None:
        with self._lock:
            return self._files.get(key)

    def _too_much(self) -> bool:
        held = sum(len(file.text) for file in self._files.values())
        return len(self._files) > self._most_files or held > self._most_characters
