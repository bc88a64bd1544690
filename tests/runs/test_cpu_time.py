"""Processor time of a run and of a question is bounded by the kernel, and what is over says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from apt_core.base import cpu
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.measure.questions import Answered, Question
from apt_core.runs import cpu_time
from apt_core.runs.launcher import Launcher
from apt_core.runs.reading import Reader
from apt_core.runs.starting import REPOSITORY
from tests.runs.fake_worker import finished, save
from tests.runs.helpers import fake_command, layers_of, until

SHORT = Question(prompt="one two three", max_tokens=4)


@pytest.fixture
def seconds_are_few(monkeypatch):
    """Two seconds of the processor at most, on any number of cores."""
    monkeypatch.setenv("APT_RUN_MINUTES", f"{2 / 60 / cpu.usable_cores():.8f}")


def test_it_is_the_longest_of_a_run_on_every_core(tmp_path):
    cores = cpu.usable_cores()
    assert cpu_time.allowed_seconds(STRICT, {}, tmp_path) == 3600 * cores
    assert cpu_time.allowed_seconds(PRIVATE, {}, tmp_path) is None
    assert cpu_time.allowed_seconds(PRIVATE, {"APT_RUN_MINUTES": "2"}, tmp_path) == 120 * cores
    assert cpu_time.allowed_seconds(STRICT, {"APT_RUN_MINUTES": "off"}, tmp_path) is None
    assert cpu_time.allowed_seconds(STRICT, {"APT_RUN_MINUTES": "soon"}, tmp_path) is None
    (tmp_path / "quotas.json").write_text('{"run_minutes": 3}')
    assert cpu_time.allowed_seconds(STRICT, {}, tmp_path) == 180 * cores


def test_a_run_that_nobody_looks_after_any_more_ends_by_itself(store, recipe, seconds_are_few):
    """The launcher here has no limits, as one of a command line; the page that began the run is gone."""
    launcher = Launcher(store, fake_command("busy"))
    run_id = launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) == 1, 60)
    until(lambda: not store.get(run_id).live, 60)
    failure = store.get(run_id).failure
    assert failure.reason == "too_long" and "The run took 2.0 s of processor time" in failure.message
    assert (store.folder(run_id) / "tidied").exists()
    until(lambda: store.position(run_id) is None, between=launcher.tick)


def test_a_run_that_waits_takes_no_time_of_the_processor(store, recipe, seconds_are_few):
    launcher = Launcher(store, fake_command("leisurely"))
    assert launcher.wait(launcher.submit(recipe)).status == "finished"


def test_a_run_that_never_comes_to_its_main_thread_is_killed_by_the_kernel():
    """The handler waits for a sum that takes hours, in one step of the interpreter."""
    code = (
        "from apt_core.runs import cpu_time\n"
        "cpu_time._TIDYING_SECONDS = 0.5\n"
        "cpu_time.bound_run(1, print)\n"
        "sum(range(1 << 60))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=60, capture_output=True)
    assert done.returncode == -9


def test_each_question_has_its_own_time(store, recipe, tmp_path, monkeypatch, seconds_are_few):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    run_id = store.create(recipe)
    store.append(run_id, finished(save(store.folder(run_id))))
    reader = Reader(store, (sys.executable, "-m", "tests.runs.fake_reader", "plain"))
    try:
        pids = set()
        for _ in range(2):
            *_, last = reader.ask(run_id, Question(prompt="compute for ever"))
            assert last.reason == "too_long"
            assert "The work on this question took 2.0 s of processor time" in last.message
            *_, answered = reader.ask(run_id, SHORT)
            assert isinstance(answered, Answered)
            pids.add(answered.pruned)
        assert len(pids) == 1, "the process stays, and its models with it"
    finally:
        reader.close()


def test_between_two_replies_nothing_is_raised(monkeypatch):
    """Whoever writes a reply down is not broken off in the middle of a line."""
    reached = []
    monkeypatch.setattr(cpu_time, "_limit", lambda _, tell, *__: reached.append(tell))
    replies = cpu_time.Allowance(1.0).through(iter("ab"))
    assert next(replies) == "a"
    (tell,) = reached
    tell()
    assert list(replies) == ["b"]


def test_without_a_limit_nothing_is_set(monkeypatch):
    monkeypatch.setattr(cpu_time, "_limit", lambda *_: pytest.fail("a limit was set"))
    cpu_time.bound_run(None, print)
    assert list(cpu_time.Allowance(None).through(iter("ab"))) == ["a", "b"]
