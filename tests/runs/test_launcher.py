"""The queue, and the faults of processes: killed workers, killed apps, workers that do not listen."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import psutil
import pytest

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.estimate import machine
from apt_core.runs import idle, processes
from apt_core.runs.launcher import Launcher
from apt_core.runs.starting import REPOSITORY
from apt_core.runs.store import Store
from tests.runs.helpers import fake_command, layers_of, until, worker_pid


def test_one_run_at_a_time_in_the_order_of_asking(store, recipe, launch):
    launcher = launch("steady")
    ids = [launcher.submit(recipe) for _ in range(3)]
    assert [store.position(run_id) for run_id in ids] == [0, 1, 2]
    records = [launcher.wait(run_id) for run_id in ids]
    assert [record.status for record in records] == ["finished"] * 3
    for before, after in itertools.pairwise(records):
        assert before.ended_at <= after.started_at


def test_two_launchers_at_once_start_each_run_once(store, recipe, launch, caplog):
    ids = [store.create(recipe) for _ in range(3)]
    launchers = [launch("steady"), Launcher(Store(store.root), fake_command("steady"), interval=0.01)]
    for launcher in launchers:
        launcher.start()
        launcher.interval = 0.01
    most = 0
    while any(store.get(run_id).live for run_id in ids):
        with store.index.read() as rows:
            most = max(most, len(rows.active()))
        time.sleep(0.01)
    for launcher in launchers:
        launcher.stop()
    assert most == 1
    assert "could not be looked after" not in caplog.text
    for run_id in ids:
        started = [s for s in store.events_since(run_id) if isinstance(s.event, ev.Started)]
        assert len(started) == 1
        assert store.get(run_id).status == "finished"


def test_ticking_from_many_threads_starts_one_worker(store, recipe, launch):
    launcher = launch("slow")
    run_id = store.create(recipe)
    waiting = store.create(recipe)
    threads = [threading.Thread(target=launcher.tick) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: layers_of(store, run_id) > 1)
    assert store.get(run_id).status == "running"
    assert store.position(waiting) == 1


def test_a_killed_worker_is_an_honest_failure_and_the_queue_goes_on(store, recipe, launch):
    launcher = launch("slow")
    run_id, following = launcher.submit(recipe), launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) >= 3)
    os.kill(worker_pid(store, run_id), signal.SIGKILL)
    record = launcher.wait(run_id)
    assert (record.status, record.failure.reason) == ("failed", "worker_died")
    assert "signal 9, SIGKILL" in record.failure.message
    assert len(record.layers) >= 3
    assert not (store.folder(run_id) / "checkpoint.partial").exists()
    until(lambda: layers_of(store, following) > 0, between=launcher.tick)


def test_a_worker_that_ends_without_a_word(store, recipe, launch):
    launcher = launch("mute")
    record = launcher.wait(launcher.submit(recipe))
    assert record.failure.reason == "worker_died"
    assert "exit status 3" in record.failure.message


def test_a_worker_killed_while_no_app_ran(store, recipe, launch):
    """Another launcher, which is not its parent, finds it dead and cannot know the signal."""
    run_id = launch("slow").submit(recipe)
    until(lambda: layers_of(store, run_id) >= 1)
    os.kill(worker_pid(store, run_id), signal.SIGKILL)
    record = launch("slow").wait(run_id)  # the first launcher never reaps: a zombie counts as dead
    assert record.failure.reason == "worker_died"
    assert "signal" not in record.failure.message


def test_a_reused_pid_is_not_taken_for_the_worker(store, recipe, launch):
    run_id = store.create(recipe)
    with store.index.write() as rows:
        rows.update(run_id, status="running", pid=os.getpid(), pid_created=processes.birth(os.getpid()) - 60)
    launch("slow").tick()
    assert store.get(run_id).failure.reason == "worker_died"
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.alone
def test_cancel_that_a_worker_does_not_hear_is_insisted_on(store, recipe, launch):
    launcher = launch("deaf", grace=0.4)
    run_id = launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) == 1)
    pid = worker_pid(store, run_id)
    store.request_cancel(run_id)
    asked = time.monotonic()
    record = launcher.wait(run_id)
    assert record.status == "cancelled"
    assert record.failure is None
    assert 0.4 < time.monotonic() - asked < 3
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.alone
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_neither_delays_nor_hurries_the_end(store, recipe, launch, monkeypatch, hours):
    launcher = launch("deaf", grace=0.6)
    run_id = launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) == 1)
    store.request_cancel(run_id)
    asked, now = time.monotonic(), time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600 * hours)
    assert launcher.wait(run_id).status == "cancelled"
    assert 0.6 < time.monotonic() - asked < 5


def test_a_silent_worker_is_terminated_before_it_is_killed(store, recipe, launch):
    launcher = launch("stuck", grace=0.4)
    run_id = launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) == 1)
    store.request_cancel(run_id)
    assert launcher.wait(run_id).status == "cancelled"
    assert (store.folder(run_id) / "tidied").exists()


def test_a_worker_that_finished_but_does_not_end_is_ended(store, recipe, launch):
    launcher = launch("unending", grace=0.3)
    run_id = launcher.submit(recipe)
    until(lambda: not store.get(run_id).live)
    pid = worker_pid(store, run_id)
    following = launcher.submit(recipe)
    until(lambda: store.position(following) == 0, between=launcher.tick)
    assert not processes.is_alive(pid, None, run_id)
    assert store.get(run_id).status == "finished"


def test_a_worker_that_finished_and_hangs_is_ended_though_the_index_was_lost(store, recipe, launch):
    launcher = launch("unending", grace=0.3)
    run_id = launcher.submit(recipe)
    until(lambda: not store.get(run_id).live)
    pid = worker_pid(store, run_id)
    os.kill(pid, signal.SIGSTOP)
    for name in ("runs.db", "runs.db-wal", "runs.db-shm"):
        (store.root / name).unlink(missing_ok=True)
    until(lambda: not processes.is_alive(pid, None, run_id), between=launcher.tick)
    until(lambda: store.position(run_id) is None, between=launcher.tick)
    assert store.get(run_id).status == "finished"


def test_a_run_that_is_live_cannot_be_deleted(store, recipe, launch):
    launcher = launch("slow")
    run_id = launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) >= 1)
    with pytest.raises(BadInput, match="still running; cancel it first"):
        store.delete(run_id)
    store.request_cancel(run_id)
    launcher.wait(run_id)
    store.delete(run_id)
    assert store.list() == []
    assert not store.folder(run_id).exists()


APP = """
import sys, time
from pathlib import Path
from apt_core.jobs import make_job
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
launcher = Launcher(Store(Path(sys.argv[1])), (sys.executable, "-m", "tests.runs.fake_worker", sys.argv[2]))
print(launcher.submit(make_job("prune", model={"id": "tiny-random-llama"}, method="magnitude")), flush=True)
launcher.start()
time.sleep(60)
"""


def start_app(root, behaviour):
    app = subprocess.Popen(
        [sys.executable, "-c", APP, str(root), behaviour], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    return app, app.stdout.readline().strip()


def test_a_run_outlives_a_killed_app_and_the_next_app_adopts_it(store, recipe, launch):
    app, run_id = start_app(store.root, "leisurely")
    until(lambda: layers_of(store, run_id) >= 2)
    app.send_signal(signal.SIGKILL)
    app.wait()
    app.stdout.close()
    worker = worker_pid(store, run_id)
    assert processes.is_alive(worker, None, run_id)
    launcher = launch("steady")
    following = launcher.submit(recipe)
    assert store.position(following) == 1, "the adopted worker still has its turn"
    record = launcher.wait(run_id)
    assert record.status == "finished"
    assert len(record.layers) == 12
    assert launcher.wait(following).status == "finished"


def test_an_app_and_its_worker_killed_together(store, recipe, launch):
    app, run_id = start_app(store.root, "slow")
    until(lambda: layers_of(store, run_id) >= 2)
    worker = worker_pid(store, run_id)
    app.send_signal(signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    app.wait()
    app.stdout.close()
    assert store.get(run_id).status == "running", "nobody has looked yet"
    launcher = launch("steady")
    # A killed process needs a moment to be gone, and until then a tick rightly takes it for alive.
    until(lambda: not store.get(run_id).live, between=lambda: launcher.tick(start_next=False))
    assert store.get(run_id).failure.reason == "worker_died"


@pytest.mark.parametrize("damage", ["rubbish", "removed"])
def test_an_index_that_is_lost_in_the_middle_of_a_run(store, recipe, launch, damage):
    launcher = launch("leisurely")
    run_id = launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) >= 2)
    if damage == "rubbish":
        (store.root / "runs.db").write_bytes(b"rubbish" * 1000)
    else:
        for file in store.root.glob("runs.db*"):
            file.unlink(missing_ok=True)
    following = launcher.submit(recipe)
    record = launcher.wait(run_id)
    assert record.status == "finished"
    assert len(record.layers) == 12
    assert launcher.wait(following).started_at >= record.ended_at


def test_a_dead_worker_known_only_from_its_folder(store, recipe, launch):
    run_id = store.create(recipe)
    store.append(run_id, ev.Started(pid=os.getpid()))
    (store.root / "runs.db").unlink()
    launch("steady").tick()
    assert store.get(run_id).failure.reason == "worker_died"


def test_a_run_folder_that_vanishes_does_not_block_the_queue(store, recipe, launch):
    launcher = launch("steady")
    lost, following = store.create(recipe), store.create(recipe)
    store.folder(lost).rename(store.root / "elsewhere")
    assert launcher.wait(following).status == "finished"
    assert store.get(lost).status == "failed"
    assert store.get(lost).failure.message


def test_a_worker_that_cannot_be_started(store, recipe):
    launcher = Launcher(store, ("/no/such/program",))
    record = launcher.wait(launcher.submit(recipe))
    assert record.status == "failed"
    assert "could not be started" in record.failure.message


def test_the_thread_lives_through_trouble_and_says_it_once(store, recipe, launch, caplog):
    run_id = store.create(recipe)
    holder = sqlite3.connect(store.root / "runs.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    launcher = Launcher(Store(store.root, patience=0.05), fake_command("steady"), interval=0.02)
    launcher.start()
    until(lambda: "could not be looked after" in caplog.text)
    time.sleep(0.3)
    assert store.get(run_id).status == "queued"
    assert caplog.text.count("could not be looked after") == 1
    holder.execute("ROLLBACK")
    holder.close()
    until(lambda: store.get(run_id).status == "finished")
    launcher.stop()


@pytest.mark.slow
def test_old_weights_go_when_a_run_finishes(store, recipe, launch, monkeypatch):
    monkeypatch.setenv("APT_KEEP_GB", "0.0000015")
    launcher = launch("steady")
    first, second = (launcher.wait(launcher.submit(recipe)).id for _ in range(2))
    assert store.checkpoint(first) is None
    assert store.checkpoint(second)
    assert store.get(first).status == "finished"


def test_an_idle_tick_does_not_ask_for_the_write_lock(store, recipe, launch):
    launcher = Launcher(Store(store.root, patience=0.05), fake_command("steady"))
    store.list()
    holder = sqlite3.connect(store.root / "runs.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    launcher.tick()  # would raise StoreUnusable
    holder.close()


def test_a_log_without_end_stays_short(launch, store, recipe):
    """A library that warns at every step filled the disk."""
    launcher = launch("leisurely")
    run_id = launcher.submit(recipe)
    log = store.folder(run_id) / "worker.log"
    until(lambda: layers_of(store, run_id), between=launcher.tick)
    with log.open("ab") as noise:
        noise.write(b"again\n" * 500_000)
    launcher.tick()
    assert log.stat().st_size < 100_000 and (log.with_name("worker.log.1")).stat().st_size == 2_000_000
    assert launcher.wait(run_id).status == "finished"


def test_a_run_at_work_that_a_new_index_takes_for_waiting_is_not_begun_again(store, recipe, launch):
    """The index was lost and made again between the worker's claim and its first line in the log."""
    launcher = launch("leisurely")
    run_id = launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) >= 1)
    pid = worker_pid(store, run_id)
    with store.index.write() as rows:
        rows.update(run_id, status="queued", pid=None, pid_created=None)
    other = launch("leisurely")
    other.tick()
    assert store.get(run_id).status == "running" and worker_pid(store, run_id) == pid
    assert other.wait(run_id).status == "finished"
    assert [line.event.kind for line in store.events_since(run_id)].count("started") == 1


@pytest.fixture
def measuring(fresh_cache, monkeypatch):
    """The process that measures takes half a minute; returns whether one is at work."""
    monkeypatch.delenv("APT_MEASURE")
    monkeypatch.setattr(idle, "MEASURE_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(machine, "is_busy", lambda: False)
    monkeypatch.setattr(machine, "_COMMAND", (sys.executable, "-c", "import time; time.sleep(30)"))
    return lambda: any(thread.name == "measure-machine" for thread in threading.enumerate())


def test_an_open_page_measures_the_machine_and_gives_way_to_a_run_at_once(store, recipe, launch, measuring):
    launcher = launch("leisurely")
    launcher.start()
    try:
        until(measuring)
        time.sleep(0.3)
        launcher.submit(recipe)
        asked = time.monotonic()
        until(lambda: not measuring())
        assert time.monotonic() - asked < 1.0
        assert machine.measured_machine() is None
    finally:
        launcher.stop()


def test_a_command_measures_nothing(store, recipe, launch, measuring):
    launcher = launch("leisurely")
    run_id = launcher.submit(recipe)
    assert launcher.wait(run_id, on_tick=lambda record: not measuring() or pytest.fail()).status == "finished"
    assert not measuring() and machine.measured_machine() is None
