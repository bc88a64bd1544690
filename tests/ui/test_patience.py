import threading
import time

import pytest

from apt_core.ui.views.patience import with_heartbeat


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
