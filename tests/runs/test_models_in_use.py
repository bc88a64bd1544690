"""A model that a run needs stays; one that none needs goes."""

from __future__ import annotations

import os

import pytest
from filelock import FileLock

from apt_core.base.errors import BadInput
from apt_core.jobs import make_job
from apt_core.models.fetch import cache_list, gguf, hub_cache
from apt_core.runs import models_in_use
from apt_core.runs.launcher import Launcher
from apt_core.runs.liveness import RunLimits
from tests.runs.helpers import fake_command, until


@pytest.mark.parametrize("model", ["ann/tiny", "ann/tiny:m-Q8_0.gguf"])
def test_a_model_stays_while_a_run_needs_it(store, monkeypatch, tmp_path, model):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    blob = hub_cache.storage_of(gguf.split(model)[0]) / "blobs" / "a.incomplete"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"half")
    run_id = store.create(make_job("prune", model={"id": model}, method="magnitude"))
    with pytest.raises(BadInput, match="needs ann/tiny; wait until it ends, or stop it first"):
        models_in_use.remove(store, "ann/tiny")
    assert blob.exists()
    store.request_cancel(run_id)
    assert models_in_use.remove(store, "ann/tiny") == 4 and not blob.exists()


def cached(name, n_bytes, used_at):
    """A model of the Hub in the cache that was used then."""
    blob = hub_cache.storage_of(name) / "blobs" / "a.incomplete"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(n_bytes))
    cache_list.mark_used(name)
    os.utime(cache_list._mark(name), (used_at, used_at))


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    for number, name in enumerate(("ann/oldest", "bob/needed", "cid/middle", "dan/newest")):
        cached(name, 1000, 1e9 + number)


def names():
    return {model.name for model in cache_list.list_cached()}


@pytest.mark.parametrize(
    ("most", "gone"),
    [
        (4000, []),
        (3999, ["ann/oldest"]),
        (2500, ["ann/oldest", "cid/middle"]),
        (0, ["ann/oldest", "cid/middle", "dan/newest"]),
    ],
)
def test_what_was_not_used_for_longest_makes_room(store, cache, most, gone):
    store.create(make_job("prune", model={"id": "bob/needed"}, method="magnitude"))
    assert models_in_use.keep_within(store, most) == gone
    assert names() == {"ann/oldest", "bob/needed", "cid/middle", "dan/newest"} - set(gone)


def test_what_arrives_just_now_stays(store, cache):
    place = hub_cache.storage_of("ann/oldest")
    with FileLock(place.with_name(f".{place.name}.lock")):
        assert models_in_use.keep_within(store, 3000) == ["bob/needed"]
    assert "ann/oldest" in names()


@pytest.mark.parametrize(("most", "left"), [(None, 4), (2000, 2)])
def test_after_each_run_a_host_keeps_no_more_than_it_may(store, recipe, cache, most, left):
    limits = RunLimits(models_bytes=most)
    launcher = Launcher(store, fake_command("steady"), interval=0.05, limits=limits)
    assert launcher.wait(launcher.submit(recipe)).status == "finished"
    until(lambda: len(names()) == left, between=launcher.tick)
