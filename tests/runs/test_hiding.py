"""A deletion can be undone for a minute; then it has happened, on the disk as well."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apt_core.base.errors import BadInput, UnknownRun
from apt_core.jobs import make_job
from apt_core.runs import hiding
from apt_core.runs import index as index_module
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


KILLED = """
import contextlib, os, sys
from apt_core.runs import hiding, index
from apt_core.runs.store import Store

real, reached, nth = index._transaction, [], int(sys.argv[2])


@contextlib.contextmanager
def transaction(connection):
    with real(connection):
        yield
        reached.append(1)
        if len(reached) == nth:
            os._exit(9)


index._transaction = transaction
if not nth:
    hiding.bring_back = lambda *_: os._exit(9)
store = Store(sys.argv[1])
getattr(store, sys.argv[3])(sys.argv[4] if sys.argv[3] == "delete" else sys.argv[4:])
"""


def killed_at_commit(store, nth, *work):
    """What work (a method of the store and the runs) leaves when its process is killed as it commits its nth
    transaction; 0: between the row and the folder of a run that comes back."""
    command = [sys.executable, "-c", KILLED, str(store.root), str(nth), *work]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], timeout=60).returncode == 9


def nothing_is_lost_or_half_there(store):
    """Every folder has its row and every row its folder, and the index made again says the same."""
    visible = {name for name in left(store) if not name.startswith(".")}
    assert set(listed(store)) == visible
    (store.root / "runs.db").unlink()
    assert set(listed(Store(store.root))) == visible


def test_killed_while_it_hides_the_runs_are_hidden(store, ended):
    killed_at_commit(store, 1, "hide", *ended[:2])
    store.sweep()
    assert {one.run for one in store.hidden()} == set(ended[:2]) and listed(store) == ended[2:]
    assert set(store.restore(ended[:2])) == set(ended[:2]) and listed(store) == ended[::-1]
    nothing_is_lost_or_half_there(store)


def test_killed_while_it_deletes_the_run_is_gone(store, ended):
    killed_at_commit(store, 1, "delete", ended[0])
    store.sweep()
    assert left(store) == sorted(ended[1:])
    nothing_is_lost_or_half_there(store)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("swept", [True, False])
def test_killed_while_it_restores_the_run_is_hidden_or_back(store, ended, nth, swept):
    store.hide(ended[:1])
    killed_at_commit(store, nth, "restore", ended[0])
    if swept:
        store.sweep()
        nothing_is_lost_or_half_there(store)
    store.restore(ended[:1])
    assert listed(store) == ended[::-1] and store.hidden() == []
    nothing_is_lost_or_half_there(store)


def test_killed_between_the_row_and_the_folder_it_stays_hidden(store, ended):
    store.hide(ended[:1])
    killed_at_commit(store, 0, "restore", ended[0])
    store.sweep()
    assert [one.run for one in store.hidden()] == ended[:1] and listed(store) == ended[:0:-1]
    nothing_is_lost_or_half_there(store)


@pytest.mark.parametrize("work", ["hide", "delete"])
def test_an_index_that_cannot_be_written_leaves_the_runs_where_they_are(store, ended, monkeypatch, work):
    before = left(store)
    real = index_module._transaction

    @contextlib.contextmanager
    def full(connection):
        with real(connection):
            yield
            raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(index_module, "_transaction", full)
        with pytest.raises(Exception, match="full"):
            store.hide(ended) if work == "hide" else store.delete(ended[0])
    assert left(store) == before and listed(store) == ended[::-1]


def test_an_undo_beside_a_sweep_brings_it_back(store, ended, monkeypatch):
    """Another process looks after the store between the row and the folder."""
    store.hide(ended[:1])
    writes, write = [], store.index.write

    @contextlib.contextmanager
    def swept_between():
        if len(writes) == 1:
            Store(store.root).sweep()
        writes.append(1)
        with write() as rows:
            yield rows

    monkeypatch.setattr(store.index, "write", swept_between)
    assert store.restore(ended[:1]) == ended[:1]
    monkeypatch.undo()
    assert listed(store) == ended[::-1]
    nothing_is_lost_or_half_there(store)
