"""Questions are served in turn over those who ask, and everybody knows how many come before."""

from __future__ import annotations

import threading

import pytest

from apt_core.runs import line as line_module
from apt_core.runs.line import Line
from tests.runs.helpers import until


@pytest.fixture
def line():
    return Line()


class Askers:
    """Threads that enter the line, note that it is their turn, and wait until they are told to end it."""

    def __init__(self, line):
        self.line, self.served, self._threads = line, [], []

    def ask(self, asker, name, patience=30.0):
        """Returns their place, once it stands in the line."""
        place = self.line.join(asker)
        thread = threading.Thread(target=self._wait, args=(place, name, patience), daemon=True)
        self._threads.append(thread)
        thread.start()
        return place

    def _wait(self, place, name, patience):
        self.served.append(name if self.line.enter(place, patience) else f"not {name}")

    def all_served(self, many):
        """End one turn after the other until so many have been served; in which order they were."""
        for count in range(1, many + 1):
            until(lambda count=count: len(self.served) >= count)
            self.line.end()
        for thread in self._threads:
            thread.join(10)
        return self.served


@pytest.fixture
def askers(line):
    """Somebody's turn is going on."""
    assert line.enter(line.join("first"), 0.1)
    return Askers(line)


def test_the_first_is_served_at_once(line):
    assert line.enter(line.join("ann"), 0.1)


def test_a_flood_of_one_waits_behind_the_first_question_of_each_other(line, askers):
    for number in range(4):
        askers.ask("ann", f"ann {number}")
    askers.ask("bob", "bob")
    askers.ask("cyd", "cyd")
    line.end()
    assert askers.all_served(6) == ["ann 0", "bob", "cyd", "ann 1", "ann 2", "ann 3"]


def test_who_asks_again_at_once_comes_behind_who_waits(line, askers):
    askers.ask("bob", "bob")
    askers.ask("first", "first again")
    askers.ask("cyd", "cyd")
    line.end()
    assert askers.all_served(3) == ["bob", "cyd", "first again"]


def test_everybody_knows_how_many_come_before(line, askers):
    places = [askers.ask(*each) for each in (("ann", "1"), ("ann", "2"), ("bob", "3"))]
    assert [line.before(place) for place in places] == [1, 3, 2]
    line.end()
    until(lambda: askers.served == ["1"])
    assert [line.before(place) for place in places] == [0, 2, 1]
    askers.all_served(3)
    assert [line.before(place) for place in places] == [0, 0, 0]


def test_who_does_not_wait_longer_holds_nobody_up(line, askers):
    impatient = askers.ask("ann", "ann", patience=0.05)
    until(lambda: askers.served == ["not ann"])
    assert line.before(impatient) == 0
    askers.ask("bob", "bob")
    line.end()
    until(lambda: askers.served == ["not ann", "bob"])


def test_who_leaves_the_line_holds_nobody_up(line, askers):
    left = askers.ask("ann", "ann")
    behind = askers.ask("bob", "bob")
    assert line.before(behind) == 2
    line.leave(left)
    until(lambda: askers.served == ["not ann"])
    assert line.before(behind) == 1
    line.end()
    until(lambda: askers.served == ["not ann", "bob"])


def test_who_left_before_waiting_is_not_served(line):
    place = line.join("ann")
    line.leave(place)
    assert not line.enter(place, 0.1)
    assert line.enter(line.join("bob"), 0.1)


def test_leaving_after_the_turn_has_come_changes_nothing(line):
    place = line.join("ann")
    assert line.enter(place, 0.1)
    line.leave(place)
    assert not line.enter(line.join("bob"), 0.05), "it is still ann's turn"


def test_who_was_served_is_remembered_within_a_bound(line, monkeypatch):
    monkeypatch.setattr(line_module, "_MOST_REMEMBERED", 3)
    for number in range(10):
        assert line.enter(line.join(f"asker {number}"), 0.1)
        line.end()
    assert list(line._served) == ["asker 7", "asker 8", "asker 9"]
