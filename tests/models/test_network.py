"""Nothing hangs: the deadline covers what socket timeouts do not."""

from __future__ import annotations

import time

import pytest

from apt_core.base.errors import NotReachable
from apt_core.models.fetch import network


def test_the_promise_of_five_seconds_leaves_time_for_the_rest():
    assert network.CONNECT_SECONDS < network.DEADLINE_SECONDS <= 4.0


def test_a_call_that_hangs_is_given_up():
    start = time.monotonic()
    with pytest.raises(NotReachable, match="nobody there"):
        network.within(lambda: time.sleep(5), "nobody there", seconds=0.1)
    assert time.monotonic() - start < 1


def test_results_and_errors_come_through():
    assert network.within(lambda: 42, "") == 42
    with pytest.raises(ZeroDivisionError):
        network.within(lambda: 1 // 0, "")
