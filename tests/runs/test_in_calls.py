"""Runs in calls of limited time: they wait between calls, go on where they were, and are nobody's for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

import apt_core
from apt_core import events as ev
from apt_core.base.policy import PRIVATE
from apt_core.execute import kept, run
from apt_core.runs import in_calls
from apt_core.runs.beginnings import MOST_BEGINNINGS
from apt_core.runs.executors import EXECUTORS, executor_of
from apt_core.runs.executors.zerogpu import ZeroGpuExecutor
from apt_core.runs.launcher import Launcher
from apt_core.runs.liveness import SIGN, Liveness, RunLimits, keep_count, seconds_at_work
from apt_core.runs.store import Store

TEXT = {
    "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
    "evaluation": {"text": "wiki-sample", "samples": 2, "length": 64},
}


@pytest.fixture
def wanted():
    return apt_core.plan("tiny-random-llama", "apt", "0.5", **TEXT)


@pytest.fixture
def launcher(store):
    return Launcher(store, executor=ZeroGpuExecutor(), interval=0.05)


@pytest.fixture
def one_block(monkeypatch):
    """Every call is over as soon as it has pruned a block."""
    monkeypatch.setattr(in_calls._Deadline, "is_near", lambda self: True)


def call(store, run_id, seconds=60.0, executor=run):
    return in_calls.do_call(store, run_id, seconds, executor, PRIVATE)


def kinds(store, run_id):
    return [stamped.event.kind for stamped in store.events_since(run_id)]


def test_a_run_is_done_in_calls_and_waits_between_them(store, launcher, wanted, one_block):
    run_id = launcher.submit(wanted)
    outcomes = []
    while not outcomes or outcomes[-1] == "paused":
        launcher.tick()
        assert store.get(run_id).status == "queued" and store.position(run_id) == 1
        outcomes.append(call(store, run_id))
    record = store.get(run_id)
    assert outcomes == ["paused"] * record.model.blocks + ["finished"]
    assert record.status == "finished" and len(record.layers) == record.model.total_layers
    assert record.dense and record.pruned and store.checkpoint(run_id)
    said = kinds(store, run_id)
    assert said.count("started") == said.count("model_loaded") == 1
    assert said.count("paused") == said.count("resumed") == record.model.blocks
    assert "restarted" not in said and not (store.folder(run_id) / kept.PRUNING).exists()
    launcher.tick()
    assert store.position(run_id) is None and call(store, run_id) == "not waiting"


def test_the_longest_that_a_run_may_take_counts_its_calls_together(store, launcher, wanted, one_block):
    run_id, now = launcher.submit(wanted), [0.0]
    folder = store.folder(run_id)
    assert call(store, run_id) == "paused" and seconds_at_work(folder) > 0
    keep_count(folder, 3590)
    assert call(store, run_id) == "paused"
    taken = seconds_at_work(folder)
    assert 3590 < taken < 3600

    heard = Liveness(RunLimits(run_seconds=3600), lambda: now[0])
    heard.attend({run_id})  # the next call has begun
    assert heard.overdue(run_id, folder) is None
    now[0] = 3601 - taken
    assert heard.overdue(run_id, folder).reason == "too_long"

    while call(store, run_id) == "paused":
        pass
    assert store.get(run_id).status == "finished" and not (folder / SIGN).exists()


def test_a_call_that_was_killed_counts_as_well(store, launcher, wanted, one_block):
    run_id = launcher.submit(wanted)
    assert call(store, run_id) == "paused"
    keep_count(store.folder(run_id), 100)  # as its sign said when it was killed
    dies(store, run_id)
    launcher.tick()
    assert store.get(run_id).status == "queued" and seconds_at_work(store.folder(run_id)) == 100


def test_the_queue_starts_nothing_itself(store, launcher, recipe):
    run_id = launcher.submit(recipe)
    for _ in range(3):
        launcher.tick()
    assert store.get(run_id).status == "queued" and kinds(store, run_id) == ["queued"]


def test_only_one_call_gets_a_run(store, launcher, recipe):
    run_id = launcher.submit(recipe)
    assert in_calls.claim(store, run_id) and not in_calls.claim(store, run_id)
    assert call(store, run_id) == "not waiting"


def test_stopping_works_within_a_call_and_between_calls(store, launcher, wanted, one_block):
    run_id = launcher.submit(wanted)
    assert call(store, run_id) == "paused"
    store.request_cancel(run_id)
    assert store.get(run_id).status == "cancelled" and call(store, run_id) == "not waiting"

    other = launcher.submit(wanted)

    def stopped_by_its_visitor(job, context):
        for event in run(job, context):
            if isinstance(event, ev.LayerPruned):
                store.request_cancel(other)
            yield event

    assert call(store, other, executor=stopped_by_its_visitor) == "cancelled"
    assert store.get(other).status == "cancelled" and store.checkpoint(other) is None
    assert not (store.folder(other) / kept.PRUNING).exists()


def test_a_wish_to_stop_that_comes_as_a_call_pauses_is_heard(store, launcher, wanted, monkeypatch):
    run_id = launcher.submit(wanted)

    def stop_now(self):
        store.request_cancel(run_id)
        return True

    monkeypatch.setattr(in_calls._Deadline, "is_near", stop_now)
    monkeypatch.setattr(in_calls._Stop, "check", lambda self: None)
    assert call(store, run_id) == "cancelled"
    launcher.tick()
    assert store.get(run_id).status == "cancelled" and store.position(run_id) is None


def test_the_end_of_a_run_goes_on_with_its_study(store, wanted):
    ended = []
    launcher = Launcher(store, executor=ZeroGpuExecutor(), advance=lambda _, study: ended.append(study))
    study = launcher.submit_study("sweep", [wanted])
    assert call(store, study.runs[0]) == "finished" and not ended
    launcher.tick()
    assert ended == [study.id] and store.position(study.runs[0]) is None


def test_a_failure_is_said_once_and_ends_the_run(store, launcher):
    run_id = launcher.submit(apt_core.plan("tiny-random-llama", "wanda", "3:7", **TEXT))
    assert call(store, run_id) == "failed"
    assert store.get(run_id).failure and kinds(store, run_id).count("failed") == 1


def test_a_job_that_cannot_be_left_says_that_a_call_is_too_short(store, launcher, recipe):
    def slow(job, context):
        yield ev.Progress(stage="evaluate", done=0, total=9)
        yield ev.Progress(stage="evaluate", done=1, total=9)

    run_id = launcher.submit(recipe)
    assert call(store, run_id, seconds=0.5, executor=slow) == "failed"
    assert store.get(run_id).failure.reason == "too_long"


def test_a_training_goes_on_from_the_state_that_it_kept(store, launcher, recipe, monkeypatch):
    run_id = launcher.submit(recipe)
    state = store.folder(run_id) / kept.KEPT_BY_TRAINING

    def training(job, context):
        step = int(state.read_text()) if state.exists() else 0
        while step < 4:
            try:
                yield ev.Trained(
                    step=step, tokens=step, loss=1.0, held_out=1.0, learning_rate=0.1, seconds=0.0
                )
            except GeneratorExit:
                state.parent.mkdir(exist_ok=True)
                state.write_text(str(step + 1))
                raise
            step += 1
        raise RuntimeError("far enough")

    looks = iter([False, True] * 4)  # over after the first step of each call
    monkeypatch.setattr(in_calls._Deadline, "is_over", lambda self: next(looks))
    outcomes = [call(store, run_id, executor=training) for _ in range(4)]
    assert outcomes == ["paused"] * 4
    assert [one.step for one in store.get(run_id).steps] == [3]  # what each part said again is forgotten
    assert kinds(store, run_id).count("restarted") == 3


def dies(store, run_id):
    """A process takes the run and is gone."""
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    with store.index.write() as rows:
        rows.update(run_id, status="running", pid=gone.pid, pid_created=0.0)


def test_a_call_that_was_killed_costs_only_itself(store, launcher, wanted, one_block):
    run_id = launcher.submit(wanted)
    assert call(store, run_id) == "paused"
    dies(store, run_id)
    assert store.get(run_id).status == "running"
    launcher.tick()
    assert store.get(run_id).status == "queued"
    while call(store, run_id) == "paused":
        pass
    assert store.get(run_id).status == "finished"


def test_a_run_whose_calls_all_die_ends_with_a_sentence(store, launcher, recipe):
    run_id = launcher.submit(recipe)
    store.append(run_id, ev.Started(pid=1))
    for _ in range(MOST_BEGINNINGS - 1):
        dies(store, run_id)
        launcher.tick()
        assert store.get(run_id).status == "queued"
        store.append(run_id, ev.Restarted(message="Again."))
    dies(store, run_id)
    launcher.tick()
    record = store.get(run_id)
    assert record.status == "failed" and record.failure.reason == "worker_died"


def test_the_deadline_leaves_time_for_the_longest_block():
    now = [0.0]
    deadline = in_calls._Deadline(60, lambda: now[0])
    asked = []
    for step in (20, 5, 5, 8, 5, 5):  # the first is mostly the model's load, which says nothing of a block
        now[0] += step
        asked.append(deadline.is_near())
    assert asked == [False, False, False, False, False, True]
    assert not deadline.is_over()
    now[0] = 59
    assert deadline.is_over()


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "local"),
        ({"SPACES_ZERO_GPU": "true"}, "zerogpu"),
        ({"SPACES_ZERO_GPU": "true", "APT_EXECUTOR": "local"}, "local"),
        ({"APT_EXECUTOR": "zerogpu", "APT_GPU_CALL_SECONDS": "120"}, "zerogpu"),
    ],
)
def test_a_space_of_that_hardware_takes_it_by_itself(environment, name):
    found = executor_of(environment)
    assert type(found) is type(EXECUTORS[name]({}))
    seconds = found.call_seconds()
    assert seconds == (float(environment.get("APT_GPU_CALL_SECONDS", 60)) if name == "zerogpu" else None)


def test_another_store_sees_the_same(store, launcher, wanted, one_block):
    run_id = launcher.submit(wanted)
    assert call(Store(store.root), run_id) == "paused"
    assert call(Store(store.root), run_id) == "paused"
