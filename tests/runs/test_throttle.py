"""Progress is thinned, everything else is not, and no stage loses its last word."""

from __future__ import annotations

from apt_core import events as ev
from apt_core.runs.throttle import Throttle
from tests.runs.fake_worker import finished, layer


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def progress(stage, done, total=100):
    return ev.Progress(stage=stage, done=done, total=total)


def test_a_flood_becomes_two_a_second():
    clock = Clock()
    throttle = Throttle(0.5, clock)
    written = []
    for done in range(100):
        clock.now += 0.125
        written += throttle.take(progress("download", done))
    assert len(written) == 25
    assert throttle.flush() == [progress("download", 99)]


def test_the_last_of_a_stage_comes_before_the_next_stage():
    throttle = Throttle(0.5, Clock())
    written = [event for done in (1, 2, 3) for event in throttle.take(progress("download", done))]
    written += throttle.take(progress("load", 0))
    assert written == [progress("download", 1), progress("download", 3), progress("load", 0)]


def test_the_end_of_a_stage_is_never_held_back():
    throttle = Throttle(0.5, Clock())
    throttle.take(progress("dense_eval", 1, 3))
    assert throttle.take(progress("dense_eval", 3, 3)) == [progress("dense_eval", 3, 3)]


def test_other_events_go_through_and_layers_do_not_flush():
    throttle = Throttle(0.5, Clock())
    throttle.take(progress("prune", 1))
    throttle.take(progress("prune", 2))
    assert throttle.take(layer(0)) == [layer(0)]
    assert throttle.take(finished()) == [progress("prune", 2), finished()]


def test_signs_of_life_are_rare():
    clock = Clock()
    throttle = Throttle(0.5, clock)
    written = []
    for _ in range(20):
        clock.now += 1
        written += throttle.take(progress("convert", 0))
    assert len(written) == 4


def test_a_line_that_names_many_files_is_rarer():
    clock = Clock()
    throttle = Throttle(0.5, clock)
    files = tuple(ev.FileBytes(name=f"model-{part:05}", done=0, total=5) for part in range(30))
    written = []
    for done in range(240):  # one minute of a model in thirty parts
        clock.now += 0.25
        event = progress("download", done, 10_000).model_copy(update={"files": files})
        written += throttle.take(event)
    assert len(written) == 20
    assert sum(len(event.model_dump_json()) for event in written) < 60_000
