"""Workers that a warm process becomes: as good as those that are started afresh."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

import apt_core
from apt_core.runs import ids, processes, starting
from apt_core.runs.launcher import Launcher
from apt_core.runs.starting import REPOSITORY, Starter, may_be_warm
from apt_core.runs.store import Store

RUN = "20261127-010203-a1b2"
COPIES = f"""
import json, os, random, sys, time
sys.path.insert(0, {str(REPOSITORY)!r})
from apt_core.runs import warm
warm._WHAT_EVERY_RUN_IMPORTS = ()
copied = warm.become_a_worker(float(os.environ.get("IDLE", "60")))
if copied is not None:
    said = {{"run": copied.run, "token": sys.stdin.readline(), "told": dict(os.environ), "random": random.random()}}
    print(json.dumps(said), flush=True)
    if os.environ.get("STAYS"):
        time.sleep(60)
    sys.exit(7)
"""
pytestmark = pytest.mark.skipif(not may_be_warm({}), reason="no process is copied on this machine")


@pytest.fixture
def starter(tmp_path, monkeypatch):
    """Of workers that say what they were told and end with status 7; a warm process becomes them in no time."""
    program = tmp_path / "copies.py"
    program.write_text(COPIES)
    command = (sys.executable, str(program))
    monkeypatch.setattr(starting, "WORKER_COMMAND", command)
    starter = Starter(tmp_path, command)
    yield starter
    starter.cool_down()


def warmed(starter):
    starter.warm_up()
    until(lambda: starter._ready() is not None)
    return starter._warm._process


def until(true, seconds=60, between=lambda: None):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        between()
        time.sleep(0.02)


def said(folder):
    until(lambda: (folder / "worker.log").read_text().count("\n"))
    return json.loads((folder / "worker.log").read_text().splitlines()[-1])


def folder_of(tmp_path, run_id=RUN):
    folder = tmp_path / run_id
    folder.mkdir()
    return folder


def test_a_copy_is_told_what_a_worker_is_told(starter, tmp_path):
    warm = warmed(starter)
    child = starter.start(RUN, folder_of(tmp_path), "hf_secret", {})
    told = said(tmp_path / RUN)
    assert psutil.Process(warm.pid).is_running()
    assert (told["run"], told["token"]) == (RUN, "hf_secret\n")
    assert told["told"]["APT_DATA"] == str(tmp_path)
    assert "hf_secret" not in str(told["told"])
    assert child.wait(5) == 7
    assert child.poll() == 7


def test_it_says_whether_the_next_run_begins_with_the_libraries_imported(starter):
    assert not starter.warm
    warmed(starter)
    assert starter.warm
    starter.cool_down()
    assert not starter.warm


def test_a_copy_without_a_token_reads_nothing(starter, tmp_path):
    warmed(starter)
    starter.start(RUN, folder_of(tmp_path), None, {}).wait(5)
    assert said(tmp_path / RUN)["token"] == ""


def test_a_copy_is_found_as_any_worker_is(starter, tmp_path, monkeypatch):
    monkeypatch.setenv("STAYS", "1")
    warm = warmed(starter)
    assert not processes.is_alive(warm.pid, None, RUN)
    child = starter.start(RUN, folder_of(tmp_path), None, {})
    said(tmp_path / RUN)
    assert psutil.Process(child.pid).cmdline() == [*starter._command, RUN]
    assert processes.is_alive(child.pid, None, RUN)
    assert os.getpgid(child.pid) == child.pid
    processes.end_strays(RUN, starter._command)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.0)
    assert child.wait(5) == -signal.SIGKILL
    assert warm.poll() is None, "only the run was ended"


def test_copies_differ_in_their_random_numbers(starter, tmp_path):
    warmed(starter)
    runs = [RUN, RUN.replace("a1b2", "a1b3")]
    for run in runs:
        starter.start(run, folder_of(tmp_path, run), None, {}).wait(5)
    first, second = (said(tmp_path / run) for run in runs)
    assert (first["run"], second["run"]) == tuple(runs)
    assert first["random"] != second["random"]


def test_workers_outlive_the_warm_process(starter, tmp_path, monkeypatch):
    monkeypatch.setenv("STAYS", "1")
    warm = warmed(starter)
    child = starter.start(RUN, folder_of(tmp_path), None, {})
    said(tmp_path / RUN)
    starter.cool_down()
    assert warm.poll() is not None
    assert psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE
    assert child.poll() is None
    processes.kill_group(child.pid)
    until(lambda: not processes.is_alive(child.pid, None, RUN))
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.1)


@pytest.mark.parametrize("harm", ["killed", "stopped"])
def test_without_a_warm_process_a_worker_is_started_afresh(starter, tmp_path, harm):
    warm = warmed(starter)
    warm.send_signal(signal.SIGKILL if harm == "killed" else signal.SIGSTOP)
    if harm == "killed":
        warm.wait()
    child = starter.start(RUN, folder_of(tmp_path), None, {})
    assert isinstance(child, subprocess.Popen)
    child.kill()
    child.wait()
    starter.warm_up()
    assert starter._warm._process.pid != warm.pid, "there is another one for the next run"


def test_another_environment_is_started_afresh(starter, tmp_path, monkeypatch):
    warmed(starter)
    before = starter._warm._process
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    child = starter.start(RUN, folder_of(tmp_path), None, {})
    assert isinstance(child, subprocess.Popen)
    child.kill()
    child.wait()
    starter.warm_up()
    assert starter._warm._process.pid != before.pid
    assert before.poll() is not None


def test_it_ends_when_nobody_asks_any_more(starter, monkeypatch):
    monkeypatch.setenv("IDLE", "0.3")
    warm = warmed(starter)
    until(lambda: psutil.Process(warm.pid).status() == psutil.STATUS_ZOMBIE)
    starter.reap()
    assert warm.returncode == 0
    assert starter._warm is None


def test_a_copy_takes_on_what_it_alone_is_told(starter, tmp_path, monkeypatch):
    """The memory that it may hold, and its share of the cores: torch was imported before it heard of that."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    program = Path(starter._command[1])
    code = program.read_text().replace("_IMPORTS = ()", "_IMPORTS = ('torch',)")
    program.write_text(
        code.replace('"random":', '"threads": sys.modules["torch"].get_num_threads(), "random":')
    )
    warmed(starter)
    found = []
    for number, threads in enumerate(("3", "1", "", "x")):
        run = RUN[:-1] + str(number)
        starter.start(run, folder_of(tmp_path, run), None, {"OMP_NUM_THREADS": threads, "APT_SEAT": run})
        told = said(tmp_path / run)
        assert told["told"]["APT_SEAT"] == run
        found.append(told["threads"])
    assert found[:2] == [3, 1]
    assert found[2] == found[3] >= 1, "as many as torch takes by itself"


@pytest.mark.alone
def test_its_idle_time_begins_when_the_last_worker_ends(starter, tmp_path, monkeypatch):
    monkeypatch.setenv("IDLE", "1.5")
    monkeypatch.setenv("STAYS", "1")
    warm = warmed(starter)
    child = starter.start(RUN, folder_of(tmp_path), None, {})
    said(tmp_path / RUN)
    time.sleep(2)  # longer than it may be idle
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: child.poll() is not None)
    time.sleep(0.5)
    assert warm.poll() is None and starter.warm
    until(lambda: warm.poll() is not None)


def test_several_threads_may_ask_at_once(starter, tmp_path):
    warmed(starter)
    runs = [RUN[:-1] + str(number) for number in range(4)]
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(lambda: starter.warm) for _ in range(40)]
        children = list(threads.map(lambda run: starter.start(run, folder_of(tmp_path, run), None, {}), runs))
        assert all(one.result() for one in asked)
    assert len({child.pid for child in children}) == 4
    assert [said(tmp_path / run)["run"] for run in runs] == runs
    assert [child.wait(5) for child in children] == [7] * 4


def test_workers_that_are_forgotten_leave_no_file_open(starter, tmp_path):
    warmed(starter)
    before = psutil.Process().num_fds()
    for number in range(5):
        run = RUN[:-1] + str(number)
        starter.start(run, folder_of(tmp_path, run), None, {})  # nobody asks how it ended
        said(tmp_path / run)
    assert psutil.Process().num_fds() == before


def test_it_ends_with_the_launcher(starter):
    warm = warmed(starter)
    starter._warm._asking.close()
    assert warm.wait(5) == 0


def test_nothing_is_copied_where_that_is_unsafe_or_unwanted(monkeypatch, tmp_path):
    assert not may_be_warm({"APT_WARM": "0"})
    monkeypatch.setattr(starting, "_NVIDIA", tmp_path)
    assert not may_be_warm({})
    starter = Starter(tmp_path)
    starter.warm_up()
    assert starter._warm is None


def test_ids_are_as_long_as_their_place():
    assert len(ids.new_id()) == ids.LENGTH == len(RUN)


def test_a_run_of_a_copy_has_the_same_figures(tmp_path):
    """Beside one that this process does itself."""
    store = Store(tmp_path)
    launcher = Launcher(store)
    little = {"text": "wiki-sample", "samples": 2, "length": 64}
    sizes = {"calibration": little, "evaluation": little}
    here = apt_core.prune("tiny-random-llama", "sparsegpt", "0.5", **sizes)
    launcher._starter.warm_up()
    until(lambda: launcher._starter._ready() is not None)
    run_id = launcher.submit(apt_core.plan("tiny-random-llama", "sparsegpt", "0.5", **sizes))
    assert isinstance(launcher._children[run_id], starting._Copy)
    there = launcher.wait(run_id)
    launcher.stop()
    assert there.status == "finished"
    assert there.finished.spared["libraries"] > 0
    assert there.pruned.perplexity == pytest.approx(here.pruned.perplexity, rel=1e-4)
    assert [layer.layer for layer in there.layers] == [layer.layer for layer in here.layers]


def test_the_queue_calls_for_a_warm_process(store, launch, recipe, monkeypatch):
    asked = []
    launcher = launch("slow")
    monkeypatch.setattr(launcher._starter, "warm_up", lambda: asked.append(True))
    first = launcher.submit(recipe)
    assert not asked, "nothing else is to come"
    second = launcher.submit(recipe)
    assert asked
    for run_id in (second, first):
        store.request_cancel(run_id)
        assert launcher.wait(run_id).status == "cancelled"
