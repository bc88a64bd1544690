"""Decisions of a host's administrator: no new runs for a while, and banned visitors.

One small file of the data folder, read again whenever it changes, so that the decision holds in every process. Who is
banned stays so after a restart; draining ends with it, since it is what comes before one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from apt_core.base.errors import NotYours, OverQuota
from apt_core.base.values import Frozen
from apt_core.runs.owners import Visitor

_FILE = "hosting.json"
_log = logging.getLogger(__name__)


class Decisions(Frozen):
    """draining: whether no run is accepted or begun. banned: names of visitors. addresses: of whoever comes from there,
    under any name."""

    draining: bool = False
    banned: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()


class Hosting:
    """The decisions of one data folder. Safe in threads."""

    def __init__(self, folder: Path):
        self._path = folder / _FILE
        self._lock, self._changing = threading.Lock(), threading.Lock()
        self._seen: tuple[int, Decisions] | None = None

    def now(self) -> Decisions:
        """As they stand; a file that cannot be read decides what was known before."""
        with self._lock:
            try:
                at = self._path.stat().st_mtime_ns
            except FileNotFoundError:
                return Decisions()
            except OSError as error:
                _log.warning("%s cannot be looked at: %s", self._path, error)
                return self._seen[1] if self._seen else Decisions()
            if self._seen is None or self._seen[0] != at:
                self._seen = (at, self._read() or (self._seen[1] if self._seen else Decisions()))
            return self._seen[1]

    def draining(self) -> bool:
        return self.now().draining

    def drain(self, wanted: bool) -> None:
        """Accept and begin no run, or do so again; raises OSError."""
        self._change(lambda now: {"draining": wanted})

    def opened(self) -> None:
        """The page begins: what it was drained for is over. Bans stay."""
        if not self.draining():
            return
        try:
            self.drain(False)
        except OSError as error:
            _log.warning("The page still accepts no runs: %s cannot be written: %s", self._path, error)

    def ban(self, name: str, wanted: bool = True) -> None:
        """Serve this visitor no more, or again; raises OSError."""
        self._change(lambda now: {"banned": now.banned | {name} if wanted else now.banned - {name}})

    def ban_address(self, address: str, wanted: bool = True) -> None:
        """Serve nobody from this address, whoever they say they are, or again; raises OSError."""
        self._change(
            lambda now: {"addresses": now.addresses | {address} if wanted else now.addresses - {address}}
        )

    def check_serves(self, visitor: Visitor) -> None:
        """Raise NotYours for a visitor who was banned, or comes from a banned address; they can still read."""
        now = self.now()
        banned = now.banned & set(visitor.names) or visitor.address in now.addresses
        if banned and not visitor.everything:
            raise NotYours("The administrator of this page has blocked you; you can still read your runs.")

    def check_accepts(self, visitor: Visitor) -> None:
        """Raise where no run is accepted from this visitor just now."""
        self.check_serves(visitor)
        if self.now().draining:
            raise OverQuota(
                "This page accepts no new runs for now, as it is about to be restarted; try again later."
            )

    def _change(self, how: Callable[[Decisions], dict[str, Any]]) -> None:
        with self._changing:
            now = self.now()
            self._write(now.model_copy(update=how(now)))

    def _read(self) -> Decisions | None:
        try:
            return Decisions.model_validate_json(self._path.read_text(encoding="utf-8"), extra="ignore")
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            _log.warning("%s cannot be read: %s", self._path, error)
            return None

    def _write(self, decisions: Decisions) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f"{_FILE}.part")
        partial.write_text(decisions.model_dump_json(indent=2), encoding="utf-8")
        os.replace(partial, self._path)
