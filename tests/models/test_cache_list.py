"""What the cache holds, and that a model can be taken out of it whole."""

from __future__ import annotations

import os
import shutil

import pytest
from filelock import FileLock

from apt_core.base.errors import BadInput
from apt_core.base.policy import PRIVATE
from apt_core.jobs import ModelRef
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.fetch import cache_list, gguf, hub_cache, manifest
from apt_core.models.fetch.sources import resolve
from tests.models.fake_hub import COMMIT

REPO = "ann/tiny"


@pytest.fixture
def from_hub(tiny):
    """A model of the Hub in our cache, as huggingface_hub lays it out."""
    storage = hub_cache.storage_of(REPO)
    (storage / "refs").mkdir(parents=True)
    (storage / "blobs").mkdir()
    snapshot = storage / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (storage / "refs" / "main").write_text(COMMIT)
    for file in tiny.iterdir():
        shutil.copy(file, storage / "blobs" / file.name)
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    return storage


def test_an_empty_cache_holds_nothing():
    assert cache_list.list_cached() == []


def test_a_model_of_the_hub_counts_once_and_tells_when_it_was_used(from_hub, tiny):
    (found,) = cache_list.list_cached()
    assert found.name == REPO and found.source == "Hub" and found.whole
    assert found.n_bytes == sum(file.stat().st_size for file in tiny.iterdir()) + len(COMMIT)
    os.utime(from_hub, (1, 1))
    assert cache_list.list_cached()[0].used_at == 1
    resolve(ModelRef(id=REPO), policy=PRIVATE)
    assert cache_list.list_cached()[0].used_at > 1_700_000_000


def test_half_a_model_is_listed_as_such(from_hub):
    weights = from_hub / "blobs" / "model.safetensors"
    weights.rename(weights.with_suffix(".incomplete"))
    (found,) = cache_list.list_cached()
    assert not found.whole


def test_a_configuration_that_somebody_looked_at_is_no_model(from_hub):
    (from_hub / "blobs" / "model.safetensors").unlink()
    assert cache_list.list_cached() == []


def test_removed_is_gone_and_its_bytes_are_told(from_hub):
    (found,) = cache_list.list_cached()
    assert cache_list.remove(REPO) == found.n_bytes
    assert (
        not from_hub.exists()
        and cache_list.list_cached() == []
        and hub_cache.snapshot(REPO, policy=PRIVATE) is None
    )
    with pytest.raises(BadInput, match="no model ann/tiny in the cache"):
        cache_list.remove(REPO)


def test_what_is_just_being_downloaded_stays(from_hub):
    with FileLock(from_hub.with_name(f".{from_hub.name}.lock")), pytest.raises(BadInput, match="just now"):
        cache_list.remove(REPO)
    assert from_hub.exists()


@pytest.mark.parametrize("name", ["../../etc", "tiny-llama", "ann/other", ""])
def test_only_what_is_listed_can_be_removed(from_hub, name):
    with pytest.raises(BadInput):
        cache_list.remove(name)
    assert from_hub.exists() and CATALOGUE["tiny-llama"].folder.exists()


def test_what_was_made_of_a_gguf_or_a_wheel_goes_with_it(tiny):
    made = gguf.folder_of("bob/packed", "m-Q8_0.gguf", "main")
    entry = CATALOGUE["smollm2-135m"]
    for folder in (made, entry.folder):
        shutil.copytree(tiny, folder)
        manifest.seal(folder)
    found = {model.name: model for model in cache_list.list_cached()}
    assert set(found) == {"bob/packed", "smollm2-135m"} and all(model.whole for model in found.values())
    cache_list.remove("bob/packed")
    cache_list.remove("smollm2-135m")
    assert not made.exists() and not entry.folder.exists()
