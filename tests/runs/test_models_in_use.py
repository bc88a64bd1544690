"""A model that a run needs stays; one that none needs goes."""

from __future__ import annotations

import pytest

from apt_core.base.errors import BadInput
from apt_core.jobs import make_job
from apt_core.models.fetch import gguf, hub_cache
from apt_core.runs import models_in_use


@pytest.mark.parametrize("model", ["ann/tiny", "ann/tiny:m-Q8_0.gguf"])
def test_a_model_stays_while_a_run_needs_it(store, monkeypatch, tmp_path, model):
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    blob = hub_cache.storage_of(gguf.split(model)[0]) / "blobs" / "a.incomplete"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"half")
    run_id = store.create(make_job("prune", model={"id": model}, method="magnitude"))
    with pytest.raises(BadInput, match="needs ann/tiny; let it end or stop it first"):
        models_in_use.remove(store, "ann/tiny")
    assert blob.exists()
    store.request_cancel(run_id)
    assert models_in_use.remove(store, "ann/tiny") == 4 and not blob.exists()
