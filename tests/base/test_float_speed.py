"""The float type of a machine is decided once: a later run computes alike, however busy the machine is by then."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from apt_core.base import float_speed, hardware
from apt_core.base.float_speed import bfloat16_speedup


@pytest.fixture(autouse=True)
def timed(tmp_path, monkeypatch):
    """What is timed next, in an empty cache; `bfloat16_speedup` as a new process has it."""
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    answers = []
    monkeypatch.setattr(float_speed, "_timed", lambda: answers.pop(0))
    bfloat16_speedup.cache_clear()
    yield answers
    bfloat16_speedup.cache_clear()


def as_a_new_process():
    bfloat16_speedup.cache_clear()
    return bfloat16_speedup()


def test_the_first_answer_holds_for_later_runs(timed, monkeypatch):
    timed += [2.5, 0.9]
    assert as_a_new_process() == 2.5 and as_a_new_process() == 2.5 and timed == [0.9]
    monkeypatch.setattr(float_speed.cpu, "model_name", lambda: "another processor")
    assert as_a_new_process() == 0.9, "another machine that shares the cache is timed for itself"


def test_of_processes_that_begin_together_one_times_and_all_take_its_answer(monkeypatch):
    """Each timed under the others' load and took its own answer, so the runs of one sweep could differ."""
    together, answers = threading.Barrier(4), iter([2.5, 0.9, 1.6, 1.4])

    def timed():
        time.sleep(0.1)
        return next(answers)

    def process(_):
        together.wait()
        return bfloat16_speedup.__wrapped__()

    monkeypatch.setattr(float_speed, "_timed", timed)
    with ThreadPoolExecutor(4) as processes:
        assert list(processes.map(process, range(4))) == [2.5] * 4
    assert as_a_new_process() == 2.5


@pytest.mark.parametrize(
    "kept", ["", "[]", "{", json.dumps({"machine": "x"}), json.dumps({"machine": 1, "speedup": None})]
)
def test_what_cannot_be_read_is_timed_again(timed, tmp_path, kept):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "float_speed.json").write_text(kept)
    timed += [1.5]
    assert as_a_new_process() == 1.5 and as_a_new_process() == 1.5


def test_a_cache_that_cannot_be_written_is_no_obstacle(timed, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    timed += [1.5, 1.6]
    assert as_a_new_process() == 1.5 and as_a_new_process() == 1.6


def test_it_decides_the_type_of_forwards_on_a_cpu(timed, monkeypatch):
    monkeypatch.setattr(hardware.cpu, "has_bfloat16", lambda: True)
    timed += [2.0]
    assert str(hardware.choose_dtype("cpu")) == "torch.bfloat16"
    (float_speed.cache_dir() / "float_speed.json").unlink()
    bfloat16_speedup.cache_clear()
    timed += [1.05]
    assert str(hardware.choose_dtype("cpu")) == "torch.float32"


def test_the_real_timing_gives_a_ratio(monkeypatch):
    monkeypatch.undo()
    assert 0.01 < float_speed._timed() < 100
