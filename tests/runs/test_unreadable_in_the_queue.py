"""A run that waits and that this version cannot read: it bars nobody, and fails with its sentence in its turn."""

from __future__ import annotations

import pytest
from helpers import until

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.runs import models_in_use
from apt_core.runs.owners import Visitor
from apt_core.runs.quotas import Quotas
from apt_core.runs.usage import Usage

ANN = Visitor(names=("v:ann",), address="192.0.2.1")
LATER = '{"kind": "of a package that is gone", "schema_version": 1, "model": {"id": "x"}}'


@pytest.fixture
def waiting(store, recipe):
    """(the unreadable run, the one behind it)."""
    unreadable, behind = store.create(recipe), store.create(recipe)
    with store.index.write() as rows:
        rows.update(unreadable, job=LATER)
    return unreadable, behind


def test_the_others_are_seen_and_started(store, recipe, waiting):
    assert [record.id for record in store.live()] == [waiting[1]]
    with Usage(Quotas(waiting=5, waiting_each=5)).starting(ANN, store, 1):
        store.create(recipe, owner="v:ann")
    assert models_in_use.in_use(store) == {"tiny-random-llama"}


def test_it_fails_with_its_sentence_when_its_turn_comes(store, launch, waiting):
    unreadable, behind = waiting
    launcher = launch("steady")
    until(lambda: store.get(behind).status == "finished", 60, between=launcher.tick)
    last = store.events_since(unreadable)[-1].event
    assert isinstance(last, ev.Failed) and "made by another version of the app" in last.message
    with store.index.read() as rows:
        assert rows.get(unreadable).status == "failed"
    with pytest.raises(BadInput, match="another version"):
        store.get(unreadable)
