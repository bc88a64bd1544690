"""The Hub on the command line: the line of a download, and the cache."""

from __future__ import annotations

import json

import pytest

from apt_core.cli import main
from apt_core.cli.progress import stage_words
from apt_core.events import FileBytes, Progress
from apt_core.jobs import make_job
from apt_core.models.fetch import hub_cache
from apt_core.runs.store import Store


@pytest.fixture(autouse=True)
def cached(fresh_cache):
    """Half a model in a cache of this test's own."""
    blob = hub_cache.storage_of("ann/tiny") / "blobs" / "abc.incomplete"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(3_000_000))
    return blob


def test_a_download_of_several_files_is_one_line():
    files = (
        FileBytes(name="model-1.safetensors", done=5_000_000, total=5_000_000),
        FileBytes(name="model-2.safetensors", done=1_000_000, total=4_000_000),
        FileBytes(name="6 small files", done=0, total=2_000),
    )
    progress = Progress(stage="download", done=6_000_000, total=9_002_000, detail="ann/big", files=files)
    assert stage_words(progress) == "Downloading 6.00 MB of 9.00 MB, ann/big, model-2.safetensors 25%"
    assert stage_words(progress.model_copy(update={"files": ()})) == "Downloading, 67%, ann/big"


def test_the_cache_is_listed(capsys):
    assert main(["cache"]) == 0
    said = capsys.readouterr().out
    assert "ann/tiny" in said and "partly here" in said and "3.00 MB in all." in said
    assert main(["cache", "list", "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)
    assert model["model"] == "ann/tiny" and model["bytes"] == 3_000_000 and not model["in_use"]


def test_a_model_is_deleted_unless_a_run_needs_it(capsys, cached):
    store = Store()
    run_id = store.create(make_job("prune", model={"id": "ann/tiny"}, method="magnitude"))
    assert main(["cache", "delete", "ann/tiny"]) == 2 and cached.exists()
    assert "wait until it ends, or stop it first" in capsys.readouterr().err
    store.request_cancel(run_id)
    assert main(["cache", "delete", "ann/tiny", "--json"]) == 0 and not cached.exists()
    assert json.loads(capsys.readouterr().out)["freed_bytes"] == 3_000_000
    assert main(["cache", "delete", "ann/tiny"]) == 2
    assert "no model ann/tiny in the cache" in capsys.readouterr().err
    assert main(["cache"]) == 0 and "No model has been downloaded" in capsys.readouterr().out
