"""A study that was stopped goes on: new runs take the places of those that were cancelled, failed or deleted."""

from __future__ import annotations

import os

import pytest

from apt_core import events as ev
from apt_core.base.errors import BadInput, DiskFull, UnknownRun
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.space import make_space
from apt_core.runs.store import Store
from tests.runs.helpers import until
from tests.runs.test_store import finish


@pytest.fixture
def study(store, recipe):
    space = make_space(recipe, seeds=(0, 1, 2))
    return store.create_study("sweep", space.expand().jobs, asked=space)


def statuses(store, study_id):
    return [record.status for record in store.runs_of(study_id)]


def fail(store, run_id):
    with store.index.write() as rows:
        rows.update(run_id, status="failed", pid=1)
    store.append(run_id, ev.Failed(reason="error", message="No."))


def test_a_study_keeps_the_grid_or_the_search_that_it_comes_from(store, recipe, study):
    assert store.study(study.id).space == make_space(recipe, seeds=(0, 1, 2))
    half = recipe.model_copy(update={"pattern": make_space(recipe, patterns=(0.5,)).patterns[0]})
    search = store.create_study("bisection", [half], asked=Bisection(base=half))
    assert store.study(search.id).bisection == Bisection(base=half)


def test_what_was_stopped_waits_again_in_its_place(store, study):
    finish(store, study.runs[0])
    store.cancel_study(study.id)
    assert statuses(store, study.id) == ["finished", "cancelled", "cancelled"]
    renewed = store.renew_study(study.id)
    assert renewed == store.study(study.id) and renewed.jobs == study.jobs
    assert renewed.runs[0] == study.runs[0] and not set(renewed.runs[1:]) & set(study.runs)
    assert statuses(store, study.id) == ["finished", "queued", "queued"]
    assert [record.id for record in store.runs_of(study.id)] == list(renewed.runs)
    assert [record.job for record in store.runs_of(study.id)] == list(study.jobs)


def test_runs_that_never_began_go_and_others_stay_outside_of_the_study(store, study):
    store.get(study.runs[1])  # seen before: what is remembered of it must not keep it in the study
    fail(store, study.runs[1])
    store.request_cancel(study.runs[2])
    store.renew_study(study.id)
    assert store.get(study.runs[1]).study == "" and store.get(study.runs[1]).status == "failed"
    with pytest.raises(UnknownRun):
        store.get(study.runs[2])
    assert not store.folder(study.runs[2]).exists()


def test_a_deleted_run_is_asked_for_again(store, study):
    finish(store, study.runs[1])
    store.delete(study.runs[1])
    renewed = store.renew_study(study.id)
    assert statuses(store, study.id) == ["queued"] * 3 and renewed.runs[1] != study.runs[1]
    assert [record.id for record in store.runs_of(study.id)] == list(renewed.runs)


def test_a_study_that_goes_on_is_left_alone(store, study):
    assert store.renew_study(study.id) == study and len(store.list()) == 3


def test_a_lost_index_knows_who_took_whose_place(store, study):
    fail(store, study.runs[0])
    renewed = store.renew_study(study.id)
    (store.root / "runs.db").unlink()
    again = Store(store.root)
    assert [record.id for record in again.runs_of(study.id)] == list(renewed.runs)
    assert again.get(study.runs[0]).study == ""


def test_a_full_disk_leaves_the_study_as_it_was(store, study, monkeypatch):
    store.cancel_study(study.id)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("apt_core.runs.studies_kept.os.replace", full)
        with pytest.raises(DiskFull):
            store.renew_study(study.id)
    assert store.study(study.id) == study and sorted(os.listdir(store.runs)) == sorted(study.runs)
    assert statuses(store, study.id) == ["cancelled"] * 3


def test_two_who_resume_at_once_renew_it_once(store, study):
    store.cancel_study(study.id)
    first = store.renew_study(study.id)
    assert Store(store.root).renew_study(study.id) == first and len(store.list()) == 3


def test_a_study_grows_only_from_what_is_known_of_it(store, study, recipe):
    more = recipe.model_copy(update={"seed": 9})
    grown = store.extend_study(study, more)
    assert grown is not None and grown.jobs == (*study.jobs, more)
    assert [record.id for record in store.runs_of(study.id)] == list(grown.runs)
    assert store.extend_study(study, more) is None and len(store.list()) == 4


@pytest.mark.slow
def test_who_stops_a_study_lets_none_of_it_begin(store, study, launch):
    launcher = launch("slow")
    launcher.tick()
    assert statuses(store, study.id) == ["running", "queued", "queued"]
    store.cancel_study(study.id)
    until(lambda: statuses(store, study.id) == ["cancelled"] * 3, between=launcher.tick)
    renewed = launch("steady").resume_study(study.id)
    quick = launch("steady")
    until(lambda: statuses(store, study.id) == ["finished"] * 3, 120, between=quick.tick)
    assert not set(renewed.runs) & set(study.runs)


@pytest.mark.slow
def test_what_runs_share_goes_with_the_last_of_them(store, recipe, launch):
    """And whoever decides the next run is asked before that."""
    study = store.create_study("sweep", [recipe, recipe.model_copy(update={"seed": 1})])
    shared = store.shared_folder(study.id)
    shared.mkdir()
    told = []
    launcher = launch("steady")
    launcher._advance = lambda _, study_id: told.append((study_id, shared.exists()))
    until(lambda: statuses(store, study.id)[0] == "finished", 120, between=launcher.tick)
    until(lambda: told, 60, between=launcher.tick)
    assert shared.exists()
    until(lambda: statuses(store, study.id)[1] == "finished", 120, between=launcher.tick)
    until(lambda: len(told) == 2, 60, between=launcher.tick)
    assert told == [(study.id, True)] * 2 and not shared.exists()


def test_shared_files_of_a_study_are_no_path_outside(store):
    with pytest.raises(BadInput):
        store.shared_folder("../..")
