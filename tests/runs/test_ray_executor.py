"""Runs on a Ray cluster: what a node sends, what is refused, and (slow, with Ray installed) a cluster of two nodes."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from types import SimpleNamespace

import psutil
import pytest

from apt_core import __version__
from apt_core import events as ev
from apt_core.base.errors import BadInput, NotReachable, Silent
from apt_core.base.model_bounds import ModelBounds
from apt_core.base.policy import PRIVATE, STRICT
from apt_core.execute import Context
from apt_core.jobs import make_job
from apt_core.runs.executors import Demand, Places, Seat, executor_of, on_node, ray_cluster
from apt_core.runs.executors.on_node import Piece, Task, pieces_of
from apt_core.runs.launcher import Launcher
from apt_core.runs.liveness import RunLimits
from tests.runs.helpers import until

BOUNDS = ModelBounds(n_bytes=123, blocks=4)


def task(**changes) -> Task:
    usual = Task(__version__, "20260101-000000-abcd", "{}", "{}", None, None)
    return usual._replace(**changes)


# ---- what a node sends


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 25])
def test_files_arrive_as_they_were_sent(tmp_path, monkeypatch, size):
    monkeypatch.setattr(on_node, "_PIECE_BYTES", 10)
    sent, here = tmp_path / "sent", tmp_path / "here"
    (sent / "checkpoint").mkdir(parents=True)
    (sent / "checkpoint" / "model.safetensors").write_bytes(os.urandom(size))
    (sent / "config.json").write_text("{}")
    pieces = list(pieces_of(sent))
    assert all(len(piece.content) <= 10 for piece in pieces)
    for piece in pieces:
        piece.write_into(here)
    for file in ("checkpoint/model.safetensors", "config.json"):
        assert (here / file).read_bytes() == (sent / file).read_bytes()


@pytest.mark.parametrize("path", ["../job.json", "/etc/passwd", "checkpoint/../../x"])
def test_a_path_that_leaves_the_folder_is_not_written(tmp_path, path):
    with pytest.raises(ValueError, match="the node sent a file with the path"):
        Piece(path, 0, b"x").write_into(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_version_on_the_node_is_a_sentence():
    with pytest.raises(BadInput, match=r"The node has version .* and the store 0\.0\.1; install the same"):
        next(on_node.work(task(version="0.0.1"), None))


def test_what_a_killed_task_left_goes_with_the_next(fresh_cache):
    gone = 2**22 + 1  # above the largest process id there is
    left = fresh_cache / "at-work" / f"run-{gone}"
    left.mkdir(parents=True)
    mine = on_node._folder_for("run")
    assert mine.name == f"run-{os.getpid()}" and list(mine.parent.iterdir()) == [mine]


def test_a_node_holds_the_limit_of_a_download_and_says_where_it_works(fresh_cache, monkeypatch):
    given = []

    def run(job, context):
        given.append(context)
        (context.folder / "report.json").write_text("{}")
        yield ev.Finished(seconds={"total": 1.0}, peak_rss_bytes=1)

    monkeypatch.setattr(on_node.execute, "run", run)
    monkeypatch.setattr(on_node, "_node", lambda: "here")
    said = list(
        on_node.work(
            task(job=tiny().model_dump_json(), policy=STRICT.model_dump_json(), study="s", bounds=BOUNDS),
            None,
        )
    )
    assert given[0].bounds == BOUNDS and given[0].policy == STRICT
    assert given[0].shared == fresh_cache / "studies" / "s"
    begun, *events = said
    assert begun.pid == os.getpid() and begun.sign.endswith("/alive")
    assert [one.path for one in events if isinstance(one, Piece)][:1] == ["report.json"], (
        "the sign is not sent"
    )
    assert not list((fresh_cache / "at-work").iterdir())


def test_the_store_tells_a_node_the_limit_of_a_download(tmp_path, monkeypatch):
    sent = []
    remote = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda one, _: sent.append(one)))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(remote=lambda _: remote))
    job = tiny()
    context = Context.of(job, tmp_path / "run", STRICT, bounds=BOUNDS)
    ray_cluster._submit(job, context, {"CPU": 1, "memory": 0})
    assert sent[0].bounds == BOUNDS


# ---- what is refused


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=r"pip install '\.\[ray\]'"), ray_cluster._cluster("auto"):
        pass


@pytest.mark.parametrize("text", ["0", "-2", "many", "inf", "nan"])
def test_cores_that_are_none_are_a_sentence(text):
    with pytest.raises(BadInput, match="APT_RAY_CORES"):
        executor_of({"APT_EXECUTOR": "ray", "APT_RAY_CORES": text})


def test_the_worker_is_told_what_its_run_will_take():
    ray_executor = executor_of({"APT_EXECUTOR": "ray", "APT_AT_ONCE": "2", "APT_RAY_ADDRESS": "head:6379"})
    assert ray_executor.places() == Places(2, apart=True, on_nodes=True)
    assert "on a Ray cluster, up to 2 at once" in ray_executor.words()
    seat = ray_executor.seat(Demand(memory_bytes=123), [])
    assert ray_executor.environment(seat) == {"APT_RUN_DEMAND_BYTES": "123"}
    assert ray_executor.environment(Seat()) == {}


def test_a_cluster_that_is_not_there_is_a_sentence():
    nowhere = ray_cluster._cluster("127.0.0.1:1")
    with pytest.raises(NotReachable, match="No Ray cluster answers at 127"), nowhere:
        pass


def test_an_address_of_a_client_is_refused():
    with pytest.raises(BadInput, match="head's own address"):
        executor_of({"APT_EXECUTOR": "ray", "APT_RAY_ADDRESS": "ray://head:10001"})


# ---- a cluster


@pytest.fixture
def cluster(monkeypatch, fresh_cache):
    """A head that does no work and two nodes of three cores; what starts a worker here knows of them."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 100_000_000}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    for _ in range(2):
        made.add_node(num_cpus=3, **small)
    monkeypatch.setenv("APT_RAY_ADDRESS", made.address)
    monkeypatch.setenv("APT_EXECUTOR", "ray")
    monkeypatch.setenv("APT_RAY_CORES", "1")
    monkeypatch.setenv("APT_AT_ONCE", "6")
    yield made
    made.shutdown()


def tiny(seed: int = 0, model: str = "tiny-random-llama"):
    text = {"text": "wiki-sample", "samples": 4, "length": 64}
    judge = {"text": "wiki-sample", "length": 64}
    return make_job(
        "prune",
        model={"id": model},
        method="magnitude",
        seed=seed,
        calibration=text,
        evaluation=[judge],
        resources={
            "dtype": "float32"
        },  # by itself what is faster just then, which runs at once may see differently
    )


def _at_work(cluster):
    """A node of which a process does the work of a run; None while there is none."""
    for node in cluster.list_all_nodes()[1:]:
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        with contextlib.suppress(psutil.Error):
            if any("ray::work" in " ".join(child.cmdline()) for child in raylet.children(recursive=True)):
                return node
    return None


@pytest.mark.slow
def test_twenty_four_jobs_over_two_nodes_of_which_one_is_killed(cluster, store):
    launcher = Launcher(store, interval=0.1)
    study = launcher.submit_study("sweep", [tiny(seed) for seed in range(24)])
    killed = threading.Event()

    def kill_a_node_in_the_middle() -> bool:
        launcher.tick()
        records = [store.get(run_id) for run_id in study.runs]
        over = [record for record in records if not record.live]
        if len(over) >= 6 and not killed.is_set() and (busy := _at_work(cluster)):
            killed.set()
            cluster.remove_node(busy, allow_graceful=False)
        return len(over) == len(records)

    until(kill_a_node_in_the_middle, seconds=900)
    records = [store.get(run_id) for run_id in study.runs]
    assert killed.is_set() and [record.failure for record in records if record.failure] == []
    assert {record.status for record in records} == {"finished"}
    assert len({record.pruned.perplexity for record in records}) == 1  # magnitude does not depend on the seed
    assert all(len(record.layers) == record.model.total_layers for record in records)
    assert all(store.checkpoint(record.id) for record in records)
    again = [record for record in records if any("began again" in said.message for said in record.warnings)]
    assert again, "no run was at work on the node that was killed"


@pytest.mark.slow
def test_a_run_of_a_run_an_error_and_a_stop_cross_the_cluster(cluster, store):
    launcher = Launcher(store, interval=0.1)
    parent = launcher.wait(launcher.submit(tiny()))
    assert parent.status == "finished" and parent.finished.checkpoint == str(
        store.folder(parent.id) / "checkpoint"
    )
    child = launcher.wait(launcher.submit(tiny(model=f"run:{parent.id}")))
    assert child.status == "finished" and child.dense.perplexity == pytest.approx(
        parent.pruned.perplexity, rel=1e-3
    )
    unknown = launcher.wait(launcher.submit(tiny(model="no-such-model")))
    assert unknown.failure.reason == "unknown_model" and "There is no model called" in unknown.failure.message
    stopped = launcher.submit(make_job("prune", model={"id": "tiny-llama"}, method="alps"))
    record = launcher.wait(stopped, on_event=lambda said: _stop_at_a_layer(store, stopped, said))
    assert record.status == "cancelled" and record.layers
    nodes = [process for process in psutil.process_iter(["name"]) if process.info["name"] == "ray::work"]
    until(lambda: not any(process.is_running() for process in nodes), seconds=20)


def _stop_at_a_layer(store, run_id, said) -> None:
    if said.event.kind == "layer_pruned":
        store.request_cancel(run_id)


@pytest.mark.slow
def test_more_than_any_node_has_is_a_sentence(cluster, store, monkeypatch):
    monkeypatch.setenv("APT_RAY_CORES", "64")
    launcher = Launcher(store)
    record = launcher.wait(launcher.submit(tiny()))
    assert "No node of the cluster has 64 cores" in record.failure.message


@pytest.mark.slow
def test_a_task_that_is_stopped_on_its_node_is_silent_and_killed(cluster, tmp_path, monkeypatch):
    """The driver lives on, and nobody else looks at the task."""
    monkeypatch.setattr(ray_cluster, "_limits", lambda *_: RunLimits(silent_seconds=15))
    job = make_job("prune", model={"id": "tiny-llama"}, method="alps")
    context = Context.of(job, tmp_path / "run", PRIVATE)
    context.folder.mkdir()
    stopped: list[psutil.Process] = []
    with ray_cluster._cluster(cluster.address):
        events = ray_cluster._task(job, context, {"CPU": 1, "memory": 0})
        with pytest.raises(Silent, match="no sign of life for 15 s"):
            for event in events:
                if event.kind == "layer_pruned" and not stopped:
                    stopped.append(_task_process(cluster))
                    stopped[0].suspend()
    until(lambda: not stopped[0].is_running(), seconds=20)


def _task_process(cluster) -> psutil.Process:
    raylet = psutil.Process(_at_work(cluster).all_processes["raylet"][0].process.pid)
    return next(
        child for child in raylet.children(recursive=True) if "ray::work" in " ".join(child.cmdline())
    )
