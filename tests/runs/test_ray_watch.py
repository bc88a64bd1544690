"""A task on a node is judged where it works: silence and memory, by looks that may themselves get no answer."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from apt_core.base.errors import OutOfMemory, Silent
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.events import Progress, Used
from apt_core.runs.executors import on_node, ray_cluster, ray_watch
from apt_core.runs.executors.on_node import Begun, Life
from apt_core.runs.executors.ray_watch import RayNode, Watch
from apt_core.runs.liveness import RunLimits

BEGUN = Begun("node", 1, 0.0, "/nowhere/alive", 8_000_000_000)


class FakeNode:
    """Answers with what lies in `found`: a life, an error, or None while the look is under way."""

    def __init__(self):
        self.now, self.found, self.asked, self.ended = 0.0, Life(1, 0), 0, []

    def clock(self) -> float:
        return self.now

    def ask(self, begun):
        self.asked += 1
        return begun

    def answer(self, asked):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def end(self, begun):
        self.ended.append(begun)


@pytest.fixture
def node():
    return FakeNode()


def watch_of(node, **limits) -> Watch:
    return Watch(lambda machine: RunLimits(**limits), node, node.clock)


def seconds(node, watch, until: int, alive: bool = True):
    """Ask once a second, as the driver does; the first reason to end, or None."""
    while node.now < until:
        node.now += 1
        if alive:
            node.found = Life(int(node.now), 0)
        if why := watch.why_to_end():
            return why
    return None


def test_a_task_that_waits_for_a_node_is_never_silent(node):
    assert seconds(node, watch_of(node, silent_seconds=5), 1000) is None and node.asked == 0


def test_a_task_that_lives_goes_on(node):
    watch = watch_of(node, silent_seconds=60)
    watch.begin(BEGUN)
    assert seconds(node, watch, 1000) is None and 20 < node.asked < 60


@pytest.mark.parametrize("found", [Life(7, 0), None, RuntimeError("the node has no memory for a look")])
def test_a_task_that_hangs_is_silent_and_so_is_one_that_cannot_be_looked_at(node, found):
    watch, node.found = watch_of(node, silent_seconds=60), found
    watch.begin(BEGUN)
    why = seconds(node, watch, 1000, alive=False)
    assert isinstance(why, Silent) and "no sign of life for 1 min" in str(why)
    assert 60 < node.now <= 130


def test_memory_is_that_of_the_task_on_its_node(node):
    watch, node.found = watch_of(node, memory_bytes=2_000_000_000), Life(1, 2_100_000_000)
    watch.begin(BEGUN)
    why = seconds(node, watch, 60, alive=False)
    assert isinstance(why, OutOfMemory) and "2.10 GB" in str(why)


def test_a_task_that_speaks_is_not_looked_at_and_says_what_memory_it_holds(node):
    """A look may have to start a process on the node."""
    watch = watch_of(node, silent_seconds=60, memory_bytes=2_000_000_000)
    watch.begin(BEGUN)
    for _ in range(100):
        node.now += 20
        watch.hear(Used(rss_bytes=1_500_000_000, cpu_seconds=1.0, seconds=1.0))
        assert watch.why_to_end() is None
    assert node.asked == 0
    watch.hear(Used(rss_bytes=2_500_000_000, cpu_seconds=1.0, seconds=1.0))
    assert isinstance(watch.why_to_end(), OutOfMemory)


def test_any_word_is_a_sign_of_life(node):
    watch, node.found = watch_of(node, silent_seconds=60), None
    watch.begin(BEGUN)
    for _ in range(100):
        node.now += 20
        watch.hear(Progress(stage="search", done=1, total=2))
        assert watch.why_to_end() is None
    assert node.asked == 1, "of its memory it says nothing"


def test_limits_are_those_of_the_node(monkeypatch):
    monkeypatch.delenv("APT_RUN_GB", raising=False)
    assert ray_cluster._limits(STRICT, 10_000_000_000).memory_bytes == 8_000_000_000
    assert ray_cluster._limits(PRIVATE, 10_000_000_000).memory_bytes is None
    monkeypatch.setenv("APT_RUN_GB", "3")
    assert ray_cluster._limits(PRIVATE, 10_000_000_000).memory_bytes == 3_000_000_000


def test_a_hung_task_is_killed_and_another_process_of_its_number_is_not():
    hung = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    begun = BEGUN._replace(pid=hung.pid, born=psutil.Process(hung.pid).create_time())
    on_node.end(begun._replace(born=begun.born - 100))
    assert hung.poll() is None
    on_node.end(begun)
    assert hung.wait(10) == -9


def test_a_look_finds_the_sign_and_the_memory(tmp_path):
    sign = tmp_path / "alive"
    begun = BEGUN._replace(pid=os.getpid(), sign=str(sign))
    assert on_node.look(begun).sign == 0
    sign.touch()
    seen = on_node.look(begun)
    assert seen.sign == sign.stat().st_mtime_ns and seen.held_bytes > 1_000_000


def test_looks_are_one_remote_function_however_many(monkeypatch):
    """A cluster keeps every function that it is sent, and complains of the hundredth."""
    sent, asked = [], []
    remote = SimpleNamespace(options=lambda **how: SimpleNamespace(remote=lambda begun: asked.append(how)))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(remote=lambda work: sent.append(work) or remote))
    strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: (node, soft))
    monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", strategies)
    ray_watch._remote.cache_clear()
    try:
        for _ in range(5):
            RayNode().ask(BEGUN)
    finally:
        ray_watch._remote.cache_clear()
    assert sent == [on_node.look]
    assert asked == [{"num_cpus": 0, "max_retries": 0, "scheduling_strategy": ("node", False)}] * 5


class OneItem:
    """A stream of which each item has been fetched already."""

    def __init__(self, items):
        self.items, self.stopped = iter(items), False


def test_a_task_that_has_to_be_ended_is_stopped_and_its_run_says_why(node, tmp_path, monkeypatch):
    stream, said = OneItem([BEGUN, None, None]), OutOfMemory("too much")
    monkeypatch.setattr(ray_cluster, "_submit", lambda *_: stream)
    monkeypatch.setattr(ray_cluster, "_items", lambda one: one.items)
    monkeypatch.setattr(ray_cluster, "_stop", lambda one: setattr(one, "stopped", True))
    watch = watch_of(node)
    monkeypatch.setattr(ray_cluster, "Watch", lambda *_: watch)
    context = ray_cluster.Context(tmp_path, "cpu", ray_cluster.time, STRICT)
    events = ray_cluster._task(None, context, {})
    assert next(events).stage == "cluster"
    monkeypatch.setattr(watch, "why_to_end", lambda: said)
    with pytest.raises(OutOfMemory, match="too much"):
        next(events)
    assert stream.stopped and node.ended == []


def test_a_silent_task_is_killed_before_it_is_asked_to_stop(node, monkeypatch):
    order = []
    monkeypatch.setattr(ray_cluster, "_stop", lambda stream: order.append("stop"))
    watch = watch_of(node)
    watch.begin(BEGUN)
    monkeypatch.setattr(node, "end", lambda begun: order.append("kill"))
    ray_cluster._end(object(), watch, Silent("quiet"))
    assert order == ["kill", "stop"]
