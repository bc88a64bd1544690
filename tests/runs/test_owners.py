"""Whose a run is: every rule of who may do what, and the owner that stands in the run's own files."""

from __future__ import annotations

import pytest

from apt_core.base.errors import NotYours
from apt_core.base.policy import LOCAL
from apt_core.runs.owners import (
    BY_LINK,
    HERE,
    SAMPLES,
    STRANGER,
    Action,
    Visitor,
    check,
    check_known,
    lists,
    may,
)
from apt_core.runs.store import Store

ANN, BOB = Visitor(names=("v:ann",)), Visitor(names=("v:bob",))
ADMIN = Visitor(names=("admin",), everything=True)
CHANGES = [action for action in Action if action not in BY_LINK]


def test_a_link_is_for_reading_and_asking():
    assert set(BY_LINK) == {Action.READ, Action.ASK}


@pytest.mark.parametrize("action", list(Action))
def test_the_table_of_rights(action):
    by_link = action in BY_LINK
    assert may(ANN, action, "v:ann")
    for other in (BOB, STRANGER):
        assert may(other, action, "v:ann") is by_link and may(other, action, LOCAL) is by_link
        assert may(other, action, "") is by_link, "what nobody is known to own is nobody's"
    for everything in (HERE, ADMIN):
        assert may(everything, action, "v:ann") and may(everything, action, LOCAL)
    for anybody in (ANN, STRANGER, HERE, ADMIN):
        assert may(anybody, action, SAMPLES) is by_link


@pytest.mark.parametrize("action", CHANGES)
def test_a_refusal_says_why(action):
    check(ANN, action, ["v:ann", "v:ann"])
    with pytest.raises(NotYours, match=f"only they can {action} it"):
        check(ANN, action, ["v:ann", "v:bob"])
    with pytest.raises(NotYours, match="needs its cookie"):
        check(STRANGER, action, ["v:ann"])


def test_lists_show_ones_own():
    assert lists(ANN, "v:ann") and not lists(ANN, "v:bob") and not lists(ANN, LOCAL)
    assert not lists(STRANGER, "") and lists(HERE, "v:bob") and lists(ADMIN, LOCAL)


def test_who_signs_in_keeps_what_they_had_before():
    signed_in = Visitor(names=("hf:ann", "v:ann"))
    assert signed_in.name == "hf:ann" and all(
        may(signed_in, Action.STOP, owner) and lists(signed_in, owner) for owner in ("hf:ann", "v:ann")
    )


def test_nothing_belongs_to_a_stranger():
    check_known(ANN)
    with pytest.raises(NotYours, match="does not know you"):
        check_known(STRANGER)


# ---- in the store


def test_runs_and_studies_keep_their_owner(store, recipe):
    mine, theirs = store.create(recipe), store.create(recipe, owner="v:ann")
    study = store.create_study("race", [recipe, recipe], owner="v:bob")
    again = Store(store.root)
    assert [again.get(run).owner for run in (mine, theirs, *study.runs)] == [LOCAL, "v:ann", "v:bob", "v:bob"]
    assert again.study(study.id).owner == "v:bob" and again.owner_of(theirs) == "v:ann"


def test_the_owner_outlives_the_index(store, recipe):
    made = {store.create(recipe, owner=owner): owner for owner in ("v:ann", "v:bob", LOCAL)}
    study = store.create_study("race", [recipe], owner="hf:cid")
    (store.root / "runs.db").unlink()
    again = Store(store.root)
    assert {run: again.get(run).owner for run in made} == made
    assert again.get(study.runs[0]).owner == again.study(study.id).owner == "hf:cid"
    assert [run.id for run in again.list(owners=["v:ann"])] == [run for run in made if made[run] == "v:ann"]


def test_lists_ask_for_owners(store, recipe):
    ann, bob = store.create(recipe, owner="v:ann"), store.create(recipe, owner="v:bob")
    assert [run.id for run in store.list(owners=["v:ann"])] == [ann]
    assert [entry.run.id for entry in store.entries(["v:bob"])] == [bob]
    assert store.list(owners=[]) == [] and store.entries([]) == []
    assert len(store.list()) == len(store.entries()) == len(store.list(owners=["v:ann", "v:bob"])) == 2
    nasty = "v:x') OR 1=1 --"
    assert store.list(owners=[nasty]) == []


def test_what_was_deleted_comes_back_to_its_owner_alone(store, recipe):
    runs = {owner: store.create(recipe, owner=owner) for owner in ("v:ann", "v:bob")}
    for run in runs.values():
        store.request_cancel(run)
    store.hide(list(runs.values()))
    assert [one.run for one in store.hidden(["v:ann"])] == [runs["v:ann"]] and store.hidden([]) == []
    assert store.restore(list(runs.values()), ["v:ann"]) == [runs["v:ann"]]
    assert store.get(runs["v:ann"]).owner == "v:ann" and len(store.hidden()) == 1


def test_a_renewed_and_an_extended_study_stay_with_their_owner(store, recipe):
    study = store.create_study("sweep", [recipe, recipe], owner="v:ann")
    store.cancel_study(study.id)
    renewed = store.renew_study(study.id)
    longer = store.extend_study(renewed, recipe)
    assert longer is not None and longer.owner == "v:ann"
    assert {store.get(run).owner for run in longer.runs} == {"v:ann"} and len(longer.runs) == 3


def test_what_an_owner_holds(store, recipe):
    ann = store.create(recipe, owner="v:ann")
    store.create(recipe, owner="v:bob")
    before = store.bytes_of(["v:ann"])
    (store.folder(ann) / "checkpoint").mkdir()
    (store.folder(ann) / "checkpoint" / "model.safetensors").write_bytes(b"\0" * 5000)
    assert store.bytes_of(["v:ann"]) == before + 5000
    assert store.use()["v:ann"] == (1, before + 5000) and store.use(["v:bob"]).keys() == {"v:bob"}
    assert store.bytes_of([]) == 0
