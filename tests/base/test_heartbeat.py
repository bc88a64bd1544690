import threading
import time

import pytest

from apt_core.base.heartbeat import items_of, with_heartbeat


def test_silence_is_told_and_items_come_through_in_order():
    def slow():
        yield 1
        time.sleep(0.12)
        yield 2

    heard = list(with_heartbeat(slow(), 0.03))
    assert [item for item in heard if item is not None] == [1, 2] and None in heard


def test_an_exception_of_the_source_comes_through():
    def broken():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(with_heartbeat(broken(), 1))


def test_leaving_early_closes_the_source():
    closed = threading.Event()

    def endless():
        try:
            while True:
                time.sleep(0.01)
                yield 1
        finally:
            closed.set()

    listened = with_heartbeat(endless(), 0.5)
    assert next(listened) == 1
    listened.close()
    assert closed.wait(2)


def test_the_result_of_the_work_is_what_the_generator_returns():
    def work(put):
        put("a")
        return 7

    bridged, heard = items_of(work, 1), []
    try:
        while True:
            heard.append(next(bridged))
    except StopIteration as done:
        assert (heard, done.value) == (["a"], 7)


def test_work_that_nobody_listens_to_ends_at_its_next_item():
    ended, tries = threading.Event(), []

    def work(put):
        try:
            while len(tries) < 500:
                tries.append(1)
                put(len(tries))
                time.sleep(0.01)
        finally:
            ended.set()

    bridged = items_of(work, 1)
    next(bridged)
    bridged.close()
    assert ended.wait(2) and len(tries) < 100
