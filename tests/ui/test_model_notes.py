"""The list of models says of each one how large it is, whether it is here and whether it fits, group by group."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from ui_helpers import FakeLauncher, FakeReader, FakeStore

from apt_core.base.policy import HostPolicy
from apt_core.models.catalogue.entries import CATALOGUE, DEFAULT_MODEL
from apt_core.runs.quotas import Quotas
from apt_core.ui import server
from apt_core.ui.forms import model_notes
from apt_core.ui.studio import Studio


def a_studio(policy=HostPolicy(), **changes):  # noqa: B008 - immutable
    store = FakeStore()
    return Studio(store, FakeLauncher(store), FakeReader(), {}, policy, **changes)


@pytest.fixture(autouse=True)
def ample(monkeypatch):
    monkeypatch.setattr(model_notes, "free_memory", lambda: 10**12)


def test_every_model_is_in_one_group_and_groups_stand_apart():
    listed = model_notes.in_groups()
    assert {entry.name for entry in listed} == set(CATALOGUE) and listed[0].name == DEFAULT_MODEL
    groups = [model_notes.group_of(entry) for entry in listed]
    assert [one for place, one in enumerate(groups) if one not in groups[:place]] == list(
        dict.fromkeys(groups)
    )
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index), "each in one piece"
    asking = {entry.name for entry in listed if model_notes.group_of(entry) == groups[-1]}
    assert asking == {entry.name for entry in listed if entry.gated or entry.terms}


def test_a_note_says_size_place_and_room(fresh_cache, monkeypatch):
    notes = model_notes.model_notes(a_studio())
    assert notes["Tiny random Llama"]["note"] == "109k parameters · 438 kB, here · fits"
    assert notes["SmolLM2 135M Instruct"]["note"].startswith("135M parameters · ")
    assert notes["SmolLM2 135M Instruct"]["note"].endswith(" to fetch · fits")
    monkeypatch.setattr(model_notes, "free_memory", lambda: 10**6)
    assert "of memory, 1.00 MB are free" in model_notes.model_notes(a_studio())["Tiny Llama"]["note"]
    small = model_notes.model_notes(a_studio(HostPolicy(public=True), quotas=Quotas(model_gb=0.5)))
    assert small["Qwen2.5 0.5B"]["note"].endswith("too large for this host")
    assert small["Tiny Llama"]["note"].endswith("are free")


def test_the_page_is_told_at_its_own_address(fresh_cache):
    with TestClient(Starlette(routes=server.routes(a_studio()))) as client:
        answer = client.get("/studio/models")
    assert answer.json().keys() == {entry.title for entry in CATALOGUE.values()}
    assert answer.headers["cache-control"] == "no-store"
