"""Whose turn it is at a process that answers one question at a time: those who ask are served in turn, each asker's own
questions in their order. A lock knows no order, so that whoever asks again at once could have it every time.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict

_MOST_REMEMBERED = 1_000  # askers and when they were served


class Place:
    """Of one question in the line. asker: whose it is. gone: nobody waits for its turn any more."""

    def __init__(self, asker: str, number: int):
        self.asker, self.number = asker, number
        self.gone = False


class Line:
    """Safe in threads; another thread than that of the question may end its turn."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Place] = []
        self._taken = False
        self._served: OrderedDict[str, int] = OrderedDict()  # asker -> number of the turn that they had last
        self._numbers = itertools.count(1)

    def join(self, asker: str) -> Place:
        """A place behind those that come before."""
        with self._changed:
            place = Place(asker, next(self._numbers))
            self._waiting.append(place)
            return place

    def enter(self, place: Place, patience: float) -> bool:
        """Wait for the turn of this place, so many seconds at most; False where it did not come, or it was left."""
        if self.wait(place, patience):
            return True
        self.leave(place)
        return False

    def wait(self, place: Place, seconds: float) -> bool:
        """Whether its turn comes within so many seconds; else it stays where it is."""
        until = time.monotonic() + seconds
        with self._changed:
            while not place.gone and (self._taken or self._order()[0] is not place):
                if not self._changed.wait(max(0.0, until - time.monotonic())):
                    return False
            if place.gone:
                return False
            self._waiting.remove(place)
            self._taken = True
            self._note(place.asker)
            return True

    def leave(self, place: Place) -> None:
        """Nobody waits for its turn any more; nothing where it has come."""
        with self._changed:
            place.gone = True
            if place in self._waiting:
                self._waiting.remove(place)
            self._changed.notify_all()

    def end(self) -> None:
        """The turn is over: the next one begins."""
        with self._changed:
            self._taken = False
            self._changed.notify_all()

    def before(self, place: Place) -> int:
        """How many come before this place, the one whose turn it is included; 0 once its own has come."""
        with self._changed:
            if place not in self._waiting:
                return 0
            return self._taken + self._order().index(place)

    def _order(self) -> list[Place]:
        """Those who wait, as they will be served: of their askers the one that was served longest ago comes first."""
        waiting, served, found = list(self._waiting), dict(self._served), list[Place]()
        turns = itertools.count(next(reversed(self._served.values()), 0) + 1)
        while waiting:
            first = min(waiting, key=lambda place: (served.get(place.asker, 0), place.number))
            waiting.remove(first)
            served[first.asker] = next(turns)
            found.append(first)
        return found

    def _note(self, asker: str) -> None:
        self._served[asker] = next(reversed(self._served.values()), 0) + 1
        self._served.move_to_end(asker)
        if len(self._served) > _MOST_REMEMBERED:
            self._served.popitem(last=False)
