"""A cache, a pip configuration and model folders of its own for every test."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from apt_core.models.catalogue.entries import CATALOGUE
from tests.models.fake_hub import Client, FakeHub
from tests.models.fake_index import FakeIndex


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No cache, pip setting or token of this machine reaches a test."""
    for name in os.environ.copy():
        if name.startswith(("PIP_", "HF_", "APT_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("APT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("SYSTEM", raising=False)


@pytest.fixture
def index(monkeypatch):
    """A package index on 127.0.0.1 that pip is set up to use."""
    with FakeIndex() as running:
        monkeypatch.setenv("PIP_INDEX_URL", running.url)
        yield running


@pytest.fixture(scope="session")
def running_hub():
    with FakeHub() as running:
        yield running


@pytest.fixture
def hub(running_hub):
    """A Hub on 127.0.0.1, empty; `ask` makes calls to it."""
    running_hub.forget()
    return running_hub


@pytest.fixture(scope="session")
def client(running_hub):
    with Client(running_hub.url, HF_HUB_OFFLINE="0") as asking:
        yield asking


@pytest.fixture
def ask(hub, client):
    """ask(call, ..., VARIABLE=value) -> answers of a process whose Hub is `hub`."""
    return client.ask


@pytest.fixture
def tiny(tmp_path) -> Path:
    """A copy of the bundled tiny model that a test may damage."""
    return Path(shutil.copytree(CATALOGUE["tiny-random-llama"].folder, tmp_path / "tiny"))


@pytest.fixture
def edit_config(tiny):
    """edit_config(architectures=[...]) changes the copy's config.json."""

    def edit(**changes) -> Path:
        file = tiny / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
        return tiny

    return edit


@pytest.fixture
def shards(tiny) -> Path:
    """The tiny model in two files with an index."""
    from safetensors.numpy import load_file

    tensors = load_file(tiny / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:10], "model-00002-of-00002.safetensors": names[10:]}
    for part, members in parts.items():
        save_file(
            {name: np.ascontiguousarray(tensors[name]) for name in members}, tiny / part, {"format": "pt"}
        )
    weight_map = {name: part for part, members in parts.items() for name in members}
    (tiny / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (tiny / "model.safetensors").unlink()
    return tiny
