"""What the processes of a page hold together is bounded: whoever is needed least goes, and says why."""

from __future__ import annotations

import os
import sys

import psutil
import pytest

from apt_core.base.errors import OutOfMemory
from apt_core.events import Failed
from apt_core.measure.questions import Answered, Question
from apt_core.runs import processes, starting
from apt_core.runs.executors.local import LocalExecutor
from apt_core.runs.launcher import Launcher
from apt_core.runs.reading import Reader
from apt_core.runs.shared_memory import INSPECTOR, READER, RUNS, WARM, SharedMemory
from apt_core.runs.starting import Starter
from tests.runs.fake_worker import finished, save
from tests.runs.helpers import fake_command, layers_of, until, worker_pid

SHORT = Question(prompt="one two three", max_tokens=4)
MB = 1_000_000


def page():
    return psutil.Process(os.getpid()).memory_info().rss


def test_each_gets_what_those_before_it_leave():
    memory = SharedMemory(page() + 10_000 * MB)
    memory.joins(RUNS, lambda: 5000 * MB)
    memory.joins(READER, lambda: 3000 * MB)
    left = [memory.left_for(who) / MB for who in (RUNS, READER, INSPECTOR, WARM)]
    assert left == pytest.approx([10_000, 5000, 2000, 2000], abs=200)
    memory.joins(INSPECTOR, lambda: 5000 * MB)
    assert memory.left_for(WARM) == 0
    memory.check_room(READER)
    with pytest.raises(OutOfMemory, match="try again when the runs have ended"):
        memory.check_room(WARM)


def test_at_home_nothing_is_counted():
    memory = SharedMemory()
    memory.joins(RUNS, lambda: pytest.fail("was counted"))
    assert memory.left_for(READER) is None
    assert memory.left_for_run(lambda: pytest.fail("was counted")) is None
    memory.check_room(READER)


def test_questions_give_way_to_a_run_and_come_back_after_it(store, recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    run_id = store.create(recipe)
    store.append(run_id, finished(save(store.folder(run_id))))
    run_holds = [0]
    memory = SharedMemory(page() + 3000 * MB)
    memory.joins(RUNS, lambda: run_holds[0])
    reader = Reader(store, (sys.executable, "-m", "tests.runs.fake_reader", "plain"), memory=memory)
    try:
        replies = reader.ask(run_id, Question(prompt="word", max_tokens=1000))
        next(replies)
        first = reader._process
        run_holds[0] = 2990 * MB
        *_, last = replies
        assert isinstance(last, Failed) and last.reason == "out_of_memory"
        assert "what else is at work here leaves it" in last.message
        assert not first.alive and memory.left_for(INSPECTOR) < 20 * MB

        (refused,) = reader.ask(run_id, SHORT)
        assert refused.reason == "out_of_memory" and "too little for a model" in refused.message
        run_holds[0] = 0
        assert isinstance(list(reader.ask(run_id, SHORT))[-1], Answered)
    finally:
        reader.close()


def test_of_two_runs_the_one_that_began_last_goes(store, recipe):
    memory = SharedMemory(1 << 50)
    launcher = Launcher(store, fake_command("slow"), executor=LocalExecutor(2), memory=memory)
    first, second = launcher.submit(recipe), launcher.submit(recipe)
    until(lambda: layers_of(store, first) and layers_of(store, second), 60, between=launcher.tick)
    held = processes.memory_of(worker_pid(store, first))
    memory._most = page() + held + 20 * MB
    until(lambda: not store.get(second).live, 60, between=launcher.tick)
    failure = store.get(second).failure
    assert failure.reason == "out_of_memory" and "the runs that began before it leave it" in failure.message
    assert store.get(first).status == "running"
    store.request_cancel(first)
    until(lambda: not store.get(first).live, 60, between=launcher.tick)


@pytest.mark.skipif(not starting.may_be_warm({}), reason="no process is kept warm here")
def test_the_warm_process_goes_first(tmp_path, monkeypatch):
    monkeypatch.delenv("APT_WARM", raising=False)
    left = [1 << 40]
    starter = Starter(tmp_path, left=lambda: left[0])
    starter.warm_up()
    warm = starter._warm
    assert warm is not None
    starter.reap()
    assert starter._warm is warm
    left[0] = 1000
    starter.reap()
    assert starter._warm is None and warm.ended()
    starter.warm_up()
    assert starter._warm is None
