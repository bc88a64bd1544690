"""The log of one run: a file of JSON lines that only ever grows. It is the authoritative record of the run.

Each event is one line, written with one `write` on an O_APPEND descriptor, under a file lock so that
two processes cannot give the same number to two events. A line that was torn (a full disk, a power
cut) or that is not ours is skipped by readers; the next writer ends a torn tail with a newline first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from apt_core import events as ev

_RESERVE_BYTES = 64 * 1024
_TAIL_BYTES = 64 * 1024  # longer than any last event: `worker_errors` cuts tracebacks
_SEQ = re.compile(rb'\{"seq":(\d{1,15}),')
_LAST_WORD = re.compile(rb'"kind":"(?:finished|failed|cancelled)"')


class EventLog:
    """`events.jsonl` of a run folder, and the `reserve` file that keeps room for its last line."""

    def __init__(self, folder: Path):
        self.path = folder / "events.jsonl"
        self.reserve = folder / "reserve"

    def set_reserve(self) -> None:
        """Take 64 KB of disk now, to be given back when the last event must fit on a full disk."""
        # Random bytes, so that a compressing file system cannot give the room away.
        self.reserve.write_bytes(os.urandom(_RESERVE_BYTES))

    def append(self, event: ev.Event) -> ev.Stamped:
        """Add one event; raises OSError when it cannot be written whole."""
        if isinstance(event, ev.TERMINAL):
            self.reserve.unlink(missing_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            tail = _Tail(descriptor)
            stamped = ev.Stamped(seq=tail.last_seq() + 1, at=time.time(), event=event)
            line = f"{ev.dump_line(stamped)}\n".encode()
            _write_whole(descriptor, line if tail.is_whole else b"\n" + line)
            if isinstance(event, ev.TERMINAL):
                os.fsync(descriptor)
            return stamped
        finally:
            os.close(descriptor)  # also lets go of the lock

    def read(self, after: int = -1) -> list[ev.Stamped]:
        """Every readable event whose number is above `after`."""
        return self.read_from(0, after)[0]

    def read_from(self, offset: int, after: int = -1) -> tuple[list[ev.Stamped], int]:
        """(the events in whole lines from byte `offset` on, the byte up to which was read).

        A last line without its newline is left for the next call: it may be half written.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return [], offset
        whole = data[: data.rfind(b"\n") + 1]
        return list(_parse(whole.split(b"\n"), after)), offset + len(whole)

    def ending(self) -> ev.Stamped | None:
        """The event that ended the run, None while there is none; looks at the end of the file only."""
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            file.seek(max(0, self.size() - _TAIL_BYTES))
            last_words = [line for line in reversed(file.read().split(b"\n")) if _LAST_WORD.search(line)]
            for stamped in _parse(last_words):
                if isinstance(stamped.event, ev.TERMINAL):
                    return stamped
        return None

    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


class _Tail:
    """The end of an open log: whether its last line is whole, and the highest number so far."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self.is_whole = self._size == 0 or os.pread(descriptor, 1, self._size - 1) == b"\n"

    def last_seq(self) -> int:
        """The number of the last readable event, -1 when there is none."""
        start = self._size
        while start > 0:
            start = max(0, start - _TAIL_BYTES)
            data = os.pread(self._descriptor, self._size - start, start)
            last = next(_parse(reversed(data.split(b"\n"))), None)  # a first line cut in two is not readable
            if last is not None:
                return last.seq
        return -1


def _parse(lines: Iterable[bytes], after: int = -1) -> Iterator[ev.Stamped]:
    for line in lines:
        number = _SEQ.match(line)
        if number is None or int(number[1]) <= after:
            continue
        with contextlib.suppress(ValidationError):  # torn or foreign: the rest of the log still counts
            yield ev.parse_line(line)


def _write_whole(descriptor: int, line: bytes) -> None:
    """One write; when the disk takes only a part of it, the rest is tried so that the true error shows."""
    written = os.write(descriptor, line)
    while written < len(line):
        written += os.write(descriptor, line[written:])
