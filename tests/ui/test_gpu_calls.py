"""A page that does its visitor's runs in calls of a ZeroGPU: whose, in which order, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ui_helpers import FakeReader

import apt_core
from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.runs.executors.zerogpu import ZeroGpuExecutor
from apt_core.runs.launcher import Launcher
from apt_core.runs.owners import Visitor
from apt_core.runs.store import Store
from apt_core.ui import gpu_calls
from apt_core.ui.acting import acting_for
from apt_core.ui.forms import checks
from apt_core.ui.studio import Studio
from apt_core.ui.views.cards import preflight_card
from tests.zerogpu_stand_in import device_service

ROOT = Path(__file__).resolve().parents[2]
TEXT = {
    "calibration": {"text": "wiki-sample", "samples": 2, "length": 64},
    "evaluation": {"text": "wiki-sample", "samples": 2, "length": 64},
}
ANNA, BEN = Visitor(names=("hf:anna",)), Visitor(names=("hf:ben",))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "data")


@pytest.fixture
def studio(store):
    launcher = Launcher(store, executor=ZeroGpuExecutor(30))
    return Studio(store, launcher, FakeReader(), {}, HostPolicy(public=True))


class Calls:
    """Notes what it was called with, and does it as far as the index goes."""

    def __init__(self, store):
        self.store, self.asked, self.error = store, [], None

    def __call__(self, root, run_id, seconds, token, policy):
        assert policy.public and root == str(self.store.root)
        self.asked.append((run_id, seconds, token))
        if self.error:
            raise self.error
        with self.store.index.write() as rows:
            rows.update(run_id, status="finished")
        return "finished"


@pytest.fixture
def calls(store):
    return Calls(store)


@pytest.fixture
def caller(studio, calls):
    now = [0.0]
    caller = gpu_calls.Caller(studio, calls, lambda: now[0])
    caller.now = now
    return caller


def submitted(studio, visitor, token=None):
    with acting_for(visitor):
        return studio.submit([apt_core.plan("tiny-random-llama", "magnitude", "0.5", **TEXT)], token)


def look(caller, visitor, shown=""):
    with acting_for(visitor):
        return caller.look(shown)


def test_a_page_works_on_its_visitors_runs_alone_and_the_shown_one_first(studio, caller, calls):
    bens = submitted(studio, BEN)
    first, second = submitted(studio, ANNA), submitted(studio, ANNA)
    assert look(caller, ANNA, shown=bens) == ""
    assert look(caller, ANNA, shown=bens) == ""
    assert [run for run, *_ in calls.asked] == [first, second]
    assert look(caller, ANNA, shown=bens) is None and len(calls.asked) == 2
    third, fourth = submitted(studio, ANNA), submitted(studio, ANNA)
    look(caller, ANNA, shown=fourth)
    assert calls.asked[-1][:2] == (fourth, 30)
    assert studio.store.get(third).status == studio.store.get(bens).status == "queued"


def test_a_stranger_has_no_runs(studio, caller, calls):
    submitted(studio, BEN)
    assert look(caller, Visitor()) is None and not calls.asked


def test_a_visitors_token_goes_along_and_nowhere_else(studio, caller, calls, store):
    run = submitted(studio, ANNA, token="hf_secret")
    look(caller, ANNA, shown=run)
    assert calls.asked == [(run, 30, "hf_secret")]
    assert not any(b"hf_secret" in path.read_bytes() for path in store.root.rglob("*") if path.is_file())


def test_what_is_in_the_way_is_said_once_a_minute(studio, caller, calls):
    run = submitted(studio, ANNA)
    calls.error = RuntimeError("You have exceeded your free ZeroGPU quota (30s requested vs. 4s left).")
    said = look(caller, ANNA, shown=run)
    assert "exceeded your free ZeroGPU quota" in said and "asks again" in said
    assert look(caller, ANNA, shown=run) is None and len(calls.asked) == 1
    caller.now[0] += 61
    calls.error = None
    assert look(caller, ANNA, shown=run) == "" and len(calls.asked) == 2
    assert not caller._not_before


def test_nothing_begins_while_the_host_drains(studio, caller, calls, monkeypatch):
    submitted(studio, ANNA)
    monkeypatch.setattr(studio.launcher, "_paused", lambda: True)
    assert look(caller, ANNA) is None and not calls.asked


def test_the_preflight_says_whose_gpu_time_it_is(studio):
    job = apt_core.plan("tiny-random-llama", "magnitude", "0.5", **TEXT)
    with acting_for(ANNA):
        needs = checks.estimate_of(studio, [job], checks.facts_for(studio, "tiny-random-llama"))
    card = preflight_card(needs)
    assert "on a ZeroGPU" in card and "your own (2 minutes a day" in card


def test_at_home_the_preflight_says_nothing_of_it(store):
    home = Studio(store, Launcher(store), FakeReader(), {})
    assert home.where == "" and gpu_calls.open_calls(home) is None


def test_elsewhere_than_on_such_a_space_it_is_a_sentence(studio, monkeypatch):
    pytest.importorskip("spaces")
    with pytest.raises(BadInput, match="for Spaces with that hardware"):
        gpu_calls.open_calls(studio)
    monkeypatch.setattr(gpu_calls, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"\.\[zerogpu\]"):
        gpu_calls.open_calls(studio)


# A page's process with the real package: two calls do a run, each in a fork.
_PAGE = """
import json, os, sys
from tests.zerogpu_stand_in import without_cuda
without_cuda()
import apt_core
from apt_core.base.policy import HostPolicy
from apt_core.runs import in_calls
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.ui import gpu_calls
from apt_core.ui.studio import Studio
from gradio.context import LocalContext
from types import SimpleNamespace

store = Store()
studio = Studio(store, Launcher(store), None, {}, HostPolicy())
in_calls._Deadline.is_near = lambda self: self._last is None and setattr(self, "_last", 0) is None
call = gpu_calls.open_calls(studio)
text = {"text": "wiki-sample", "samples": 2, "length": 64}
run_id = studio.submit([apt_core.plan("tiny-random-llama", "wanda", "0.5", calibration=text, evaluation=text)])
class Headers(dict): pass
LocalContext.request.set(SimpleNamespace(headers=Headers({"x-ip-token": "of-the-visitor"})))
caller = gpu_calls.Caller(studio, call)
looks = [caller.look(run_id) for _ in range(4)]
record = store.get(run_id)
if sys.argv[1:] == ["short"]:
    print(json.dumps({"looks": looks, "status": record.status}))
    sys.exit()
pids = {stamped.event.pid for stamped in store.events_since(run_id) if stamped.event.kind == "started"}
print(json.dumps({"looks": looks, "status": record.status, "layers": len(record.layers),
                  "paused": sum(one.event.kind == "paused" for one in store.events_since(run_id)),
                  "here": os.getpid() in pids}))
"""


def in_a_space(tmp_path, environment, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", _PAGE, *arguments],
        cwd=ROOT,
        env=os.environ | environment | {"APT_DATA": str(tmp_path / "space"), "APT_GPU_CALL_SECONDS": "45"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_the_real_package_does_a_run_in_calls_of_the_visitors_quota(tmp_path):
    pytest.importorskip("spaces")
    with device_service() as (service, environment):
        said = in_a_space(tmp_path, environment)
    assert said["status"] == "finished" and said["layers"] == 14 and not said["here"]
    assert said["paused"] == len(service.calls()) - 1 > 0
    assert [look for look in said["looks"] if look] == []
    assert {call["token"] for call in service.calls()} == {"of-the-visitor"}
    assert all(float(call["durationSeconds"]) >= 45 for call in service.calls())
    assert [path for path, _ in service.asked].count("/startup-report") == 1
    assert [path for path, _ in service.asked].count("/release") == len(service.calls())


@pytest.mark.slow
def test_the_real_package_says_that_the_quota_is_spent(tmp_path):
    pytest.importorskip("spaces")
    with device_service() as (service, environment):
        service.left = 10
        said = in_a_space(tmp_path, environment, "short")
    assert said["status"] == "queued" and len(service.calls()) == 1
    assert "quota" in said["looks"][0] and said["looks"][1:] == [None, None, None]
