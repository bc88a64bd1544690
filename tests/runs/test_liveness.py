"""A worker that is stopped from outside, hangs or takes for ever does not hold the queue."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
from helpers import fake_command, layers_of, until, worker_pid

import apt_core
from apt_core.base.errors import BadInput
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.estimate.free import all_memory
from apt_core.runs import liveness
from apt_core.runs.launcher import Launcher
from apt_core.runs.liveness import SIGN, Liveness, RunLimits, show_life, verdict_in
from apt_core.runs.quotas import Quotas
from apt_core.runs.store import Store

JOB = apt_core.plan("tiny-random-llama", "magnitude", 0.5)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_silence_is_counted_from_the_last_sign(tmp_path, clock):
    heard = Liveness(RunLimits(silent_seconds=10), clock)
    for second in range(0, 60, 5):
        clock.now = second
        os.utime(tmp_path / SIGN, ns=(second, second)) if second else (tmp_path / SIGN).touch()
        assert heard.overdue("a", tmp_path) is None
    clock.now += 10
    assert heard.overdue("a", tmp_path) is None
    clock.now += 1
    said = heard.overdue("a", tmp_path)
    assert said.reason == "silent" and "no sign of life" in said.message
    (tmp_path / SIGN).touch()
    assert heard.overdue("a", tmp_path) == said == heard.verdict("a", tmp_path), "what was decided stays"


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_clock_that_is_set_ends_nothing(tmp_path, clock, jump, monkeypatch):
    heard = Liveness(RunLimits(silent_seconds=10), clock)
    (tmp_path / SIGN).touch()
    assert heard.overdue("a", tmp_path) is None
    clock.now = 5
    now = liveness.time.time() + jump
    os.utime(tmp_path / SIGN, (now, now))
    assert heard.overdue("a", tmp_path) is None
    clock.now = 14
    assert heard.overdue("a", tmp_path) is None


def test_a_run_may_not_take_for_ever(tmp_path, clock):
    heard = Liveness(RunLimits(run_seconds=60), clock)
    for second in (0, 59, 60):
        clock.now = second
        os.utime(_touched(tmp_path), ns=(second + 1, second + 1))
        assert heard.overdue("a", tmp_path) is None
    clock.now = 61
    assert heard.overdue("a", tmp_path).reason == "too_long"
    heard.forget("a", tmp_path)
    assert heard.overdue("a", tmp_path) is None and not (tmp_path / SIGN).exists()


def test_a_restarted_app_goes_on_counting(tmp_path, clock):
    """The worker had been at work for 59 minutes when this process first saw it."""
    (tmp_path / SIGN).write_text("3540")
    heard = Liveness(RunLimits(run_seconds=3600, silent_seconds=10_000), clock)
    for second in (0, 60):
        clock.now = second
        assert heard.overdue("a", tmp_path) is None
    clock.now = 61
    assert heard.overdue("a", tmp_path).reason == "too_long"


@pytest.mark.parametrize("said", ["", "35", "a word"])
def test_what_the_worker_says_never_shortens_what_was_seen(tmp_path, clock, said):
    heard = Liveness(RunLimits(run_seconds=60), clock)
    (tmp_path / SIGN).write_text("10")
    assert heard.overdue("a", tmp_path) is None
    clock.now = 45
    (tmp_path / SIGN).write_text(said)
    os.utime(tmp_path / SIGN, ns=(1, 1))
    assert heard.overdue("a", tmp_path) is None
    clock.now = 51
    assert heard.overdue("a", tmp_path).reason == "too_long"


def test_a_worker_says_how_long_it_has_been_at_work(tmp_path):
    began = time.monotonic()
    end = show_life(tmp_path, every=0.01)
    time.sleep(0.5)
    until(lambda: float((tmp_path / SIGN).read_text() or 0) >= 0.5)
    assert float((tmp_path / SIGN).read_text() or 0) <= time.monotonic() - began + 0.01
    end()


def _touched(folder):
    (folder / SIGN).touch()
    return folder / SIGN


def limits_of(policy, **environment):
    return RunLimits.of(policy, environment, Quotas.of(policy, environment))


def test_limits_come_from_the_environment():
    assert limits_of(PRIVATE).run_seconds is None and limits_of(PRIVATE).memory_bytes is None
    assert limits_of(STRICT).run_seconds == 3600 and limits_of(STRICT).memory_bytes > 1e8
    assert limits_of(STRICT, APT_RUN_GB="2").memory_bytes == 2_000_000_000
    assert limits_of(PRIVATE, APT_RUN_GB="2").together_bytes is None
    assert limits_of(STRICT).memory_bytes < limits_of(STRICT).together_bytes < all_memory()
    assert limits_of(PRIVATE, APT_RUN_MINUTES="1.5").run_seconds == 90
    for wrong in ("0", "-1", "nan", "soon"):
        with pytest.raises(BadInput, match="APT_RUN_MINUTES"):
            limits_of(PRIVATE, APT_RUN_MINUTES=wrong)


def test_the_sign_changes_and_goes(tmp_path):
    end = show_life(tmp_path, every=0.01)
    first = until(lambda: (tmp_path / SIGN).exists() and (tmp_path / SIGN).stat().st_mtime_ns)
    until(lambda: (tmp_path / SIGN).stat().st_mtime_ns != first)
    end()
    assert not (tmp_path / SIGN).exists()


def test_a_stopped_worker_is_ended_and_the_next_run_starts(tmp_path, clock):
    """Five minutes pass at once, by the launcher's clock."""
    store = Store(tmp_path)
    launcher = Launcher(store, fake_command("leisurely"), grace=0.5)
    launcher._liveness = Liveness(RunLimits(), clock)
    first, second = launcher.submit(JOB), launcher.submit(JOB)
    until(lambda: layers_of(store, first) > 1, 60, between=launcher.tick)
    os.kill(worker_pid(store, first), signal.SIGSTOP)
    launcher.tick()
    clock.now += 301
    until(lambda: not store.get(first).live, 60, between=launcher.tick)
    assert store.get(first).status == "failed" and "no sign of life" in store.get(first).failure.message
    until(lambda: store.get(second).status == "finished", 60, between=launcher.tick)
    assert not (store.folder(first) / SIGN).exists() and not (store.folder(second) / SIGN).exists()


def test_a_run_that_takes_too_long_says_so(tmp_path):
    store = Store(tmp_path)
    launcher = Launcher(store, fake_command("slow"), limits=RunLimits(run_seconds=1.0))
    run_id = launcher.submit(JOB)
    until(lambda: not store.get(run_id).live, 60, between=launcher.tick)
    assert "longest that a run may take" in store.get(run_id).failure.message
    assert not list(store.folder(run_id).glob("*checkpoint*"))


def test_a_run_that_takes_too_long_is_asked_before_it_is_ended(tmp_path, clock):
    """It tidies up, and what it says last is why it was ended."""
    store, launcher, run_id = at_work(tmp_path, clock, "stuck")
    clock.now += 61
    until(lambda: not store.get(run_id).live, 60, between=launcher.tick)
    assert (store.folder(run_id) / "tidied").exists()
    assert store.get(run_id).failure.reason == "too_long"
    until(lambda: store.position(run_id) is None, between=launcher.tick)
    assert not list(store.folder(run_id).glob("overdue*"))


def test_one_that_does_not_hear_is_ended_after_a_while(tmp_path, clock):
    store, launcher, run_id = at_work(tmp_path, clock, "deaf", grace=0.5)
    clock.now += 61
    until(lambda: not store.get(run_id).live, 60, between=launcher.tick)
    assert store.get(run_id).failure.reason == "too_long"


def test_another_process_that_finds_it_dead_says_the_same(tmp_path, clock):
    """The command line, which has no limit of its own, looks at the queue just then."""
    store, launcher, run_id = at_work(tmp_path, clock, "stuck")
    pid = worker_pid(store, run_id)
    os.kill(pid, signal.SIGSTOP)
    clock.now += 61
    until(lambda: verdict_in(store.folder(run_id)), between=launcher.tick)
    os.kill(pid, signal.SIGKILL)
    other = Launcher(store, fake_command("stuck"))
    until(lambda: not store.get(run_id).live, between=lambda: other.tick(start_next=False))
    assert store.get(run_id).failure.reason == "too_long"


def at_work(folder, clock, behaviour, grace=10.0):
    """(store, launcher, run): it may take a minute, by the clock of the launcher, and is at its first layer."""
    store = Store(folder)
    launcher = Launcher(store, fake_command(behaviour), grace=grace)
    launcher._liveness = Liveness(RunLimits(run_seconds=60), clock)
    run_id = launcher.submit(JOB)
    until(lambda: layers_of(store, run_id) == 1, 60, between=launcher.tick)
    return store, launcher, run_id


def test_a_worker_that_eats_the_memory_is_ended(tmp_path):
    """The scripted worker holds some dozen megabytes; it may hold ten."""
    store = Store(tmp_path)
    launcher = Launcher(store, fake_command("slow"), limits=RunLimits(memory_bytes=10_000_000))
    run_id = launcher.submit(JOB)
    until(lambda: not store.get(run_id).live, 60, between=launcher.tick)
    assert store.get(run_id).failure.reason == "out_of_memory"
    assert "the most that a run may hold here" in store.get(run_id).failure.message


def test_a_worker_of_before_the_index_was_lost_is_no_orphan(tmp_path):
    """It was stopped as it began, so nothing but its command line says whose it is."""
    store = Store(tmp_path)
    launcher = Launcher(store, fake_command("steady"))
    run_id = launcher.submit(JOB)
    lost = worker_pid(store, run_id)
    os.kill(lost, signal.SIGSTOP)
    assert layers_of(store, run_id) == 0
    for name in ("runs.db", "runs.db-wal", "runs.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    again = Launcher(Store(tmp_path), fake_command("steady"))
    until(lambda: store.get(run_id).status == "finished", 60, between=again.tick)
    launcher._reap()
    assert not psutil.pid_exists(lost) or psutil.Process(lost).status() == psutil.STATUS_ZOMBIE


def test_waiting_between_two_calls_is_not_working(tmp_path):
    now = [0.0]
    liveness = Liveness(RunLimits(run_seconds=60), lambda: now[0])
    assert liveness.overdue("run", tmp_path) is None
    now[0] = 50
    liveness.attend({"run"})
    assert liveness.overdue("run", tmp_path) is None
    liveness.attend(set())  # it waits
    now[0] = 500
    liveness.attend({"run"})
    assert liveness.overdue("run", tmp_path) is None
    now[0] = 561
    liveness.attend({"run"})
    assert liveness.overdue("run", tmp_path).reason == "too_long"
