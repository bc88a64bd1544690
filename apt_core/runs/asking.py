"""One question to the reader as its asker sees it: the replies as they come, its place in the line, and a stop."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol

from apt_core.measure.questions import Reply
from apt_core.runs.line import Line, Place


class Stoppable(Protocol):
    """The answer to a question whose turn has come."""

    def stop(self) -> None: ...


class Asking:
    """The replies to one question as they come: an iterator that can be stopped or closed."""

    def __init__(self, replies: Callable[[Asking], Generator[Reply]], asker: str = ""):
        self.answer: Stoppable | None = None  # None until it is this question's turn
        self.stopped = False
        self._asker = asker
        self._line: Line | None = None
        self._place: Place | None = None  # in the line, once it waits
        self._replies = replies(self)

    def __iter__(self) -> Asking:
        return self

    def __next__(self) -> Reply:
        return next(self._replies)

    @property
    def before(self) -> int:
        """How many questions are answered before this one; 0 from its turn on."""
        return self._line.before(self._place) if self._line and self._place else 0

    def waits_in(self, line: Line, patience: float) -> bool:
        """Wait for the turn of this question; False where it did not come, or nobody waits for it any more."""
        self._line, self._place = line, line.join(self._asker)
        if self.stopped:
            line.leave(self._place)
        return line.enter(self._place, patience)

    def stop(self) -> None:
        """End this answer early: its last word, with what there is, still comes. Never ends another's."""
        self.stopped = True
        if self._line and self._place:
            self._line.leave(self._place)
        if self.answer is not None:
            self.answer.stop()

    def close(self) -> None:
        """Nobody listens any more."""
        self._replies.close()
