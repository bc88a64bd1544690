"""What Gradio has to say to each page load and nobody has fetched yet, bounded in all.

Gradio keeps the answers of an event until its tab fetches them, however many there are and whether or not there is a
tab; and it forgets whole page loads, the one that was begun first before all others, once there are two thousand.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.server_messages import EventMessage, UnexpectedErrorMessage

_MOST_SESSIONS = 2_000
_MOST_BYTES = 100_000_000
_EACH_BYTES = 1_000  # of a message beside what it says
_DROPPED = "What this page had to say was not fetched for too long; reload it."


class Messages(asyncio.Queue[Any]):
    """Of one page load. n_bytes: of those that nobody has fetched. heard: whether somebody waits for one just now."""

    def __init__(self, changed: Callable[[int], None]):
        self.n_bytes, self._waiting, self._changed = 0, 0, changed
        super().__init__()

    @property
    def heard(self) -> bool:
        return self._waiting > 0

    async def get(self) -> EventMessage:
        self._waiting += 1
        try:
            return await super().get()
        finally:
            self._waiting -= 1

    def _put(self, item: EventMessage) -> None:
        n_bytes = _bytes_of(item)
        super()._put((item, n_bytes))
        self._count(n_bytes)

    def _get(self) -> EventMessage:
        item, n_bytes = super()._get()
        self._count(-n_bytes)
        return item

    def drop(self) -> None:
        """Forget all of them; whoever comes to fetch them is told so."""
        while not self.empty():
            self.get_nowait()
        self.put_nowait(UnexpectedErrorMessage(message=_DROPPED))

    def _count(self, more: int) -> None:
        self.n_bytes += more
        self._changed(more)


class Unread(dict[str, Messages]):
    """The messages by page load, in place of Gradio's own mapping. forget: called with a page load that goes.

    A page load that somebody listens to stays; of the others the oldest goes, or loses what it was told.
    """

    def __init__(
        self,
        forget: Callable[[str], object],
        most_sessions: int = _MOST_SESSIONS,
        most_bytes: int = _MOST_BYTES,
    ):
        super().__init__()
        self._forget, self._most_sessions, self._most_bytes = forget, most_sessions, most_bytes
        self.n_bytes, self._making_room = 0, False

    def __setitem__(self, session: str, given: Any) -> None:
        """Gradio gives a queue of its own, which has no bound."""
        while session not in self and len(self) >= self._most_sessions:
            del self[self._oldest()]
        super().__setitem__(session, Messages(self._changed))

    def __delitem__(self, session: str) -> None:
        self.n_bytes -= self[session].n_bytes
        super().__delitem__(session)
        self._forget(session)

    def _oldest(self) -> str:
        return next((session for session, messages in self.items() if not messages.heard), next(iter(self)))

    def _changed(self, more: int) -> None:
        self.n_bytes += more
        if self.n_bytes > self._most_bytes and not self._making_room:
            self._making_room = True
            self._make_room()
            self._making_room = False

    def _make_room(self) -> None:
        for messages in list(self.values()):
            if messages.n_bytes > 2 * _EACH_BYTES and not messages.heard:
                messages.drop()
            if self.n_bytes <= self._most_bytes / 2:
                return


def bound(page: gr.Blocks) -> None:
    """Let the queue of a page keep what it has to say this way."""
    events = page._queue.pending_event_ids_session
    vars(page._queue)["pending_messages_per_session"] = Unread(lambda session: events.pop(session, None))


def _bytes_of(message: EventMessage) -> int:
    return _EACH_BYTES + _size(getattr(message, "output", None))


def _size(value: Any) -> int:
    """Of what an event puts out, about: mostly text."""
    if isinstance(value, dict):
        return sum(_size(each) for each in value.values())
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return sys.getsizeof(value)
