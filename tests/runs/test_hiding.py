"""A deletion can be undone for a minute; then it has happened, on the disk as well."""

from __future__ import annotations

import os
import time

import pytest

from apt_core.base.errors import BadInput, UnknownRun
from apt_core.jobs import make_job
from apt_core.runs import hiding
from apt_core.runs.ids import new_id
from apt_core.runs.store import Store
from tests.runs.test_store import finish


@pytest.fixture
def ended(store, recipe):
    """Three runs that have finished, oldest first."""
    ids = [store.create(recipe) for _ in range(3)]
    for run_id in ids:
        finish(store, run_id)
    return ids


def listed(store):
    return [entry.run.id for entry in store.entries()]


def left(store):
    return sorted(path.name for path in store.runs.iterdir())


def age(store, seconds):
    """As if what is hidden had been hidden so much earlier."""
    for one in hiding.found(store.runs):
        older = one.folder.name.replace(f"-{one.at}-", f"-{int(one.at - seconds)}-")
        os.rename(one.folder, one.folder.with_name(older))


def test_hidden_runs_are_gone_for_everybody_and_come_back_where_they_stood(store, ended):
    before = store.list()
    store.label(ended[1], name="The middle one")
    store.hide(ended[1:2])
    for seen_by in (store, Store(store.root)):
        assert listed(seen_by) == [ended[2], ended[0]] == [record.id for record in seen_by.list()]
        for use in (seen_by.get, seen_by.events_since, seen_by.delete, seen_by.made_by, seen_by.label):
            with pytest.raises(UnknownRun):
                use(ended[1])
        assert seen_by.checkpoint(ended[1]) is None
    assert [one.run for one in store.hidden()] == [ended[1]]
    assert Store(store.root).restore([ended[1]]) == [ended[1]]
    assert store.list() == before and store.hidden() == [] and left(store) == sorted(ended)
    assert store.labels_of(ended[1]).name == "The middle one"


def test_all_or_none_are_hidden(store, ended, recipe):
    live = store.create(recipe)
    for refused in ([*ended, live], [*ended, new_id()]):
        with pytest.raises(BadInput):
            store.hide(refused)
        assert listed(store) == [live, *ended[::-1]] and store.hidden() == []


def test_a_run_that_others_were_made_from_goes_with_them_or_not_at_all(store, recipe):
    parent = store.create(recipe)
    finish(store, parent)
    child = store.create(make_job("prune", model={"id": f"run:{parent}"}, method="magnitude"))
    finish(store, child)
    with pytest.raises(BadInput, match=r"is what run .* was made from"):
        store.hide([parent])
    store.hide([parent, child])
    assert listed(store) == []
    assert set(store.restore([parent, child])) == {parent, child}
    assert listed(store) == [child, parent] and not store.get(child).orphaned


def test_after_a_minute_it_is_gone_for_good(store, ended, launch):
    store.hide(ended[:2])
    launch("steady").tick()
    assert len(store.hidden()) == 2, "not yet"
    age(store, hiding.SECONDS + 1)
    assert store.hidden() == [] and store.restore(ended) == []
    launch("steady").tick()
    assert left(store) == [ended[2]]


def test_a_clock_that_was_ahead_keeps_nothing_for_ever(store, ended):
    store.hide(ended[:1])
    age(store, -10 * hiding.SECONDS)
    store.sweep()
    assert left(store) == sorted(ended[1:])


def test_what_is_deleted_at_once_leaves_the_others_that_can_still_come_back(store, ended):
    store.hide(ended[:1])
    store.delete(ended[1])
    assert ended[1] not in str(left(store))
    assert store.restore(ended) == [ended[0]]


def test_an_index_that_is_made_again_does_not_bring_it_back(store, ended):
    store.hide(ended[:1])
    (store.root / "runs.db").unlink()
    again = Store(store.root)
    assert listed(again) == ended[:0:-1]
    assert again.restore(ended[:1]) == ended[:1] and listed(again) == ended[::-1]


def test_a_study_stays_while_its_runs_can_come_back(store, recipe):
    study = store.create_study("race", [recipe, recipe])
    for run_id in study.runs:
        finish(store, run_id)
    store.hide(study.runs)
    assert store.study(study.id) == study
    store.restore(study.runs)
    assert [record.id for record in store.runs_of(study.id)] == list(study.runs)
    store.hide(study.runs)
    age(store, hiding.SECONDS + 1)
    store.sweep()
    with pytest.raises(UnknownRun):
        store.study(study.id)
    assert store.studies() == []


def test_a_run_whose_place_in_a_study_was_taken_comes_back_alone(store, recipe):
    study = store.create_study("sweep", [recipe, recipe])
    for run_id in study.runs:
        finish(store, run_id)
    store.hide(study.runs[:1])
    renewed = store.renew_study(study.id)
    assert renewed.runs[0] != study.runs[0]
    assert store.restore(study.runs[:1]) == [study.runs[0]]
    assert store.get(study.runs[0]).study == ""
    assert [record.id for record in store.runs_of(study.id)] == list(renewed.runs)


@pytest.mark.parametrize("wrong", ["..", "../../etc", "", "20261124-130501-a1b2\n"])
def test_ids_that_are_no_ids_reach_no_file(store, ended, wrong):
    store.hide(ended[:1])
    with pytest.raises(UnknownRun):
        store.hide([wrong])
    assert store.restore([wrong]) == []


def test_a_folder_of_a_like_name_is_left_alone(store, ended):
    strange = store.runs / ".hidden-of-somebody"
    strange.mkdir()
    age(store, 0)
    store.sweep()
    assert strange.exists() and hiding.found(store.runs) == []


def test_two_who_undo_at_once_bring_it_back_once(store, ended):
    store.hide(ended[:1])
    (one,) = store.hidden()
    assert hiding.bring_back(store.runs, one) is True
    assert hiding.bring_back(store.runs, one) is False


def test_it_says_how_long_there_is_left(store, ended):
    store.hide(ended[:1])
    (one,) = store.hidden()
    assert hiding.SECONDS - 3 < one.seconds_left <= hiding.SECONDS
    assert abs(one.at - time.time()) < 3
