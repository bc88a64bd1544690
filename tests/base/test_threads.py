"""The threads of torch follow the cores that are free; nothing else of the work changes."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import chain, repeat

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from apt_core.base import cpu, threads
from apt_core.base.threads import FreeCores, following, steady, threads_for


@given(free=st.floats(-4, 64), most=st.integers(1, 64), last=st.integers(1, 64))
def test_there_are_never_more_threads_than_bounds_allow(free, most, last):
    found = threads_for(free, most, last)
    assert 1 <= found <= most
    assert found <= max(1, free + 0.5)


@given(cores=st.integers(1, 64), last=st.integers(1, 64), slips=st.floats(0, 0.15))
def test_a_quiet_machine_is_used_whole_and_a_busy_core_is_left(cores, last, slips):
    assert threads_for(cores - slips, cores, last) == cores
    assert threads_for(cores - 1, cores, last) == max(cores - 1, 1)


@given(free=st.floats(0, 8), last=st.integers(1, 8))
def test_the_same_look_again_changes_nothing(free, last):
    once = threads_for(free, 8, last)
    assert threads_for(free, 8, once) == once


def test_what_others_use_is_what_this_process_did_not():
    now = {"clock": 0.0, "busy": 100.0, "own": 7.0}
    free = FreeCores(lambda: now["busy"], lambda: now["own"], lambda: now["clock"], cores=4)
    now |= {"clock": 0.3, "busy": 101.0}
    assert free.since_last(0.5) is None, "looks this close together tell nothing"
    now |= {"clock": 2.0, "busy": 105.8, "own": 10.6}
    assert free.since_last(0.5) == pytest.approx(4 - (5.8 - 3.6) / 2)
    now |= {"clock": 3.0, "busy": 105.8, "own": 10.61}
    assert free.since_last(0.5) == 4, "the clocks of both tick at different times"


class _Machine:
    """Cores that somebody else uses, as the next looks see them."""

    def __init__(self, free):
        self._free = chain(free, repeat(None))

    def since_last(self):
        return next(self._free)


@pytest.fixture
def four_threads(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    yield
    torch.set_num_threads(before)


def _seen(monkeypatch, free, steps=None):
    """The number of threads in each step."""
    monkeypatch.setattr(threads, "FreeCores", lambda: _Machine(free))
    return list(following(steps or (torch.get_num_threads() for _ in free)))


def test_steps_take_as_many_threads_as_are_free_and_give_them_back(monkeypatch, four_threads):
    assert _seen(monkeypatch, [4.0, 2.9, None, 0.1, 3.9, 3.9]) == [4, 3, 3, 1, 4, 4]
    assert torch.get_num_threads() == 4


def test_a_bound_is_never_exceeded(monkeypatch, four_threads):
    torch.set_num_threads(2)
    assert _seen(monkeypatch, [4.0, 1.0, 4.0, 4.0, 4.0]) == [2, 1, 2, 2, 2]
    monkeypatch.setattr(cpu, "usable_cores", lambda: 1)
    torch.set_num_threads(4)
    assert _seen(monkeypatch, [None]) == [4], "one thread at most, so nothing is looked for"


def test_they_are_given_back_when_the_work_fails_or_is_left(monkeypatch, four_threads):
    def failing():
        yield torch.get_num_threads()
        raise ValueError

    with pytest.raises(ValueError):
        _seen(monkeypatch, [1.0, 1.0], failing())
    assert torch.get_num_threads() == 4
    monkeypatch.setattr(threads, "FreeCores", lambda: _Machine([1.0]))
    steps = following(torch.get_num_threads() for _ in range(3))
    assert next(steps) == 1
    steps.close()
    assert torch.get_num_threads() == 4


def test_what_is_compared_by_time_keeps_its_threads(monkeypatch, four_threads):
    def timing():
        yield torch.get_num_threads()
        with steady():
            for _ in range(2):
                yield torch.get_num_threads()
        yield torch.get_num_threads()
        yield torch.get_num_threads()

    assert _seen(monkeypatch, [1.0, 4.0, 2.0, 3.0], timing()) == [1, 4, 4, 4, 2]


def test_who_says_that_the_number_stays_is_obeyed(monkeypatch, four_threads):
    monkeypatch.setenv("OMP_DYNAMIC", "false")
    assert _seen(monkeypatch, [1.0, 1.0]) == [4, 4]


def test_the_result_of_the_steps_is_handed_on():
    def steps():
        yield 1
        return "done"

    def outer():
        return (yield from following(steps()))

    walk = outer()
    assert next(walk) == 1
    with pytest.raises(StopIteration) as end:
        next(walk)
    assert end.value.value == "done"


def test_cores_that_others_keep_busy_are_not_free():
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in cpu.affinity()]
    try:
        time.sleep(0.5)
        free = FreeCores()
        time.sleep(1.0)
        assert free.since_last() < 0.5
    finally:
        for one in others:
            one.kill()
            one.wait()


def test_a_container_has_the_cores_that_its_share_pays_for(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "affinity", lambda: list(range(8)))
    monkeypatch.setattr(cpu, "control_groups", lambda root: [root])
    assert cpu.usable_cores(tmp_path) == 8
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cpu.usable_cores(tmp_path) == 8
    for quota, cores in ((150000, 2), (200000, 2), (5000, 1), (9900000, 8)):
        (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
        assert cpu.usable_cores(tmp_path) == cores
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    for quota, cores in (("-1", 8), ("300000", 3)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
        (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
        assert cpu.usable_cores(tmp_path) == cores
