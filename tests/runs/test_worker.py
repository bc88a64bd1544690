"""One worker in a process of its own: every way in which a run can end, and what it leaves behind."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from apt_core import events as ev
from apt_core.base.errors import BadText
from apt_core.base.model_bounds import ModelBounds
from apt_core.base.policy import LOCAL, HostPolicy
from apt_core.jobs import Prune
from apt_core.runs import processes, worker
from apt_core.runs.starting import REPOSITORY
from apt_core.runs.store import Store
from apt_core.runs.worker_errors import failure_of
from tests.runs.helpers import fake_command, layers_of, small_disk, until, worker_pid


def kinds(store, run_id):
    return [stamped.event.kind for stamped in store.events_since(run_id)]


def leftovers(store, run_id):
    return sorted(path.name for path in store.folder(run_id).iterdir())


def test_a_run_from_queue_to_record(store, recipe, launch):
    seen = []
    launcher = launch("steady")
    record = launcher.wait(launcher.submit(recipe), seen.append)
    assert record.status == "finished"
    assert len(record.layers) == 6
    assert [stamped.event.kind for stamped in seen] == [
        "queued",
        "started",
        *["layer_pruned"] * 6,
        "finished",
    ]
    assert [stamped.seq for stamped in seen] == list(range(9))
    assert store.checkpoint(record.id)
    assert leftovers(store, record.id) == ["checkpoint", "events.jsonl", "job.json", "worker.log"]
    assert Prune.model_validate_json((store.folder(record.id) / "job.json").read_text()) == recipe
    assert store.position(record.id) is None


def test_the_worker_is_nicer_than_we_are(store, recipe, launch):
    launcher = launch("slow")
    run_id = launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) >= 1)
    assert os.getpriority(os.PRIO_PROCESS, worker_pid(store, run_id)) == min(
        19, os.getpriority(os.PRIO_PROCESS, 0) + 5
    )


@pytest.mark.alone
def test_cancel_is_felt_at_the_next_event(store, recipe, launch):
    launcher = launch("slow")
    run_id = launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) >= 3)
    assert "checkpoint.partial" in leftovers(store, run_id)
    asked = time.monotonic()
    store.request_cancel(run_id)
    assert store.get(run_id).status == "stopping"
    record = launcher.wait(run_id)
    assert time.monotonic() - asked < 1.5
    assert record.status == "cancelled"
    assert len(record.layers) >= 3
    assert leftovers(store, run_id) == ["events.jsonl", "job.json", "worker.log"]


def test_a_cancel_before_the_first_event_stops_the_run_before_it_works(store, recipe, launch):
    launcher = launch("slow")
    run_id = launcher.submit(recipe)
    store.request_cancel(run_id)
    assert launcher.wait(run_id).layers == ()
    assert kinds(store, run_id) == ["queued", "started", "cancelled"]


def test_sigterm_is_a_cancel_even_in_a_long_silence(store, recipe, launch):
    launcher = launch("stuck")
    run_id = launcher.submit(recipe)
    until(lambda: layers_of(store, run_id) == 1)
    os.kill(worker_pid(store, run_id), signal.SIGTERM)
    assert launcher.wait(run_id).status == "cancelled"


@pytest.mark.parametrize(
    ("behaviour", "reason", "words"),
    [
        ("memory", "out_of_memory", "fewer or shorter calibration samples, or a smaller model"),
        ("full", "disk_full", "free some space"),
        ("crash", "unexpected", "(ValueError: the numbers make no sense)"),
        ("bad_text", "bad_text", "The calibration text is empty"),
    ],
)
def test_a_failure_is_one_sentence_and_leaves_no_weights(store, recipe, launch, behaviour, reason, words):
    launcher = launch(behaviour)
    record = launcher.wait(launcher.submit(recipe))
    assert (record.status, record.failure.reason) == ("failed", reason)
    assert words in record.failure.message
    assert "\n" not in record.failure.message
    assert "Traceback" in record.failure.detail
    assert len(record.layers) == 1, "what it had done stays"
    assert leftovers(store, record.id) == ["events.jsonl", "job.json", "worker.log"]
    assert "The run failed" in (store.folder(record.id) / "worker.log").read_text()


@pytest.mark.parametrize(
    ("owner", "policy", "said", "most", "blocks"),
    [
        (LOCAL, HostPolicy(public=True), None, None, None),
        ("v:ann", HostPolicy(public=True), None, 5 * 10**9, 64),
        ("v:ann", HostPolicy(public=True), "2", 2 * 10**9, 2),
        ("v:ann", HostPolicy(public=True), "0.5", 5 * 10**8, 64),
        ("v:ann", HostPolicy(public=True), "off", None, None),
        ("v:ann", HostPolicy(), None, None, None),
    ],
)
def test_how_large_a_model_may_be_is_asked_again_when_it_is_fetched(
    store, monkeypatch, owner, policy, said, most, blocks
):
    monkeypatch.setenv("APT_MODEL_GB", said or "")
    monkeypatch.setenv("APT_MODEL_BLOCKS", "" if said == "0.5" else said or "")
    assert worker._bounds(store, owner, policy) == ModelBounds(n_bytes=most, blocks=blocks)


def test_what_only_the_page_must_know_is_not_told(monkeypatch):
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", "signs sessions")
    assert "signs sessions" not in processes.heavy_environment().values()


@pytest.mark.parametrize("status", ["queued", "running", "finished"])
def test_a_worker_that_was_not_asked_for_does_nothing(store, recipe, status):
    run_id = store.create(recipe)
    with store.index.write() as rows:
        rows.update(run_id, status=status, pid=os.getpid(), pid_created=processes.birth(os.getpid()))
    done = subprocess.run(
        [*fake_command("steady"), run_id],
        env=os.environ | {"APT_DATA": str(store.root)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert "nothing was done" in done.stderr
    assert kinds(store, run_id) == ["queued"]


def test_the_real_worker_module_takes_the_run_id(store, recipe):
    run_id = store.create(recipe)
    done = subprocess.run(
        [sys.executable, "-m", "apt_core.runs.worker", run_id],
        env=os.environ | {"APT_DATA": str(store.root)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert run_id in done.stderr


@pytest.fixture
def held_for_me(store, recipe, monkeypatch):
    """(a run that this very process is to do, the connection of another program that holds the index)."""
    run_id = store.create(recipe)
    with store.index.write() as rows:
        rows.update(run_id, status="running", pid=os.getpid(), pid_created=processes.birth(os.getpid()))
    monkeypatch.setattr(worker, "Store", lambda: Store(store.root, patience=0.05))
    holder = sqlite3.connect(store.root / "runs.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    yield run_id, holder
    holder.close()
    with store.index.write() as rows:  # no launcher is to take this process for a worker
        rows.update(run_id, status="failed", pid=None)


def test_a_held_index_is_waited_for_at_the_start(store, held_for_me):
    run_id, holder = held_for_me
    threading.Timer(0.5, holder.rollback).start()
    assert worker.claim_in_time(Store(store.root, patience=0.05), run_id, 30.0)


def test_an_index_that_stays_held_is_one_sentence_in_the_log(store, held_for_me, monkeypatch):
    run_id, holder = held_for_me
    monkeypatch.setattr(worker, "_CLAIM_SECONDS", 0.4)
    assert worker.main(run_id) == 1
    holder.rollback()
    failure = store.get(run_id).failure
    assert (
        failure.reason == "store_unusable" and "could not begin: another program has held" in failure.message
    )
    assert "\n" not in failure.message and not failure.detail and "want of memory" not in failure.message
    assert kinds(store, run_id) == ["queued", "failed"]


def test_a_worker_too_many_does_not_fail_the_run_of_another(store, held_for_me, monkeypatch):
    run_id, _ = held_for_me
    store.append(run_id, ev.Started(pid=4711))
    monkeypatch.setattr(worker, "_CLAIM_SECONDS", 0.2)
    assert worker.main(run_id) == 1
    assert kinds(store, run_id) == ["queued", "started"]


class OutOfMemoryError(RuntimeError):
    """As torch calls it on every device."""


class SafetensorError(Exception):
    """Written by Rust, so it is no OSError."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out_of_memory"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_memory"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
            "out_of_memory",
        ),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
            "out_of_memory",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "disk_full"),
        (BadText("Too short."), "bad_text"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "unexpected"),
        (RuntimeError("shapes do not match"), "unexpected"),
        (SystemExit(1), "unexpected"),
    ],
)
def test_every_error_gets_a_stable_reason(error, reason):
    failed = failure_of(error)
    assert failed.reason == reason
    assert failed.message
    assert len(failed.detail) <= 8000


@pytest.mark.parametrize("behaviour", ["filling", "hoarding"])
def test_a_disk_that_is_full_to_the_last_byte(tmp_path, recipe, launch, behaviour):
    with small_disk(tmp_path / "disk", "1m") as disk:
        store = Store(disk)
        launcher = launch(behaviour, of=store)
        record = launcher.wait(launcher.submit(recipe))
        assert (record.status, record.failure.reason) == ("failed", "disk_full")
        assert len(record.layers) == 1
        assert store.checkpoint(record.id) is None
        (disk / "hoard").unlink(missing_ok=True)
        assert launch("steady", of=store).wait(launch("steady", of=store).submit(recipe)).status == "finished"
