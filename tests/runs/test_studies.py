"""Runs that were asked for together are stored together, all or none of them, and found again from their folder."""

from __future__ import annotations

import pytest

from apt_core.base.errors import BadInput, UnknownRun
from apt_core.jobs import make_job
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from tests.runs.test_store import finish


@pytest.fixture
def race(recipe):
    return [recipe, recipe.model_copy(update={"seed": 1}), recipe.model_copy(update={"seed": 2})]


def test_a_study_holds_its_jobs_and_its_runs_in_their_order(store, race):
    study = store.create_study("race", race)
    assert store.study(study.id) == study and store.studies() == [study]
    assert (study.kind, study.jobs) == ("race", tuple(race))
    records = store.runs_of(study.id)
    assert [record.id for record in records] == list(study.runs)
    assert [record.job for record in records] == race
    assert {record.study for record in records} == {study.id}
    assert store.get(store.create(race[0])).study == ""


def test_a_lost_index_finds_studies_again(store, race):
    study = store.create_study("race", race)
    other = store.create(race[0])
    (store.root / "runs.db").unlink()
    again = Store(store.root)
    assert [record.id for record in again.runs_of(study.id)] == list(study.runs)
    assert again.studies() == [study] and again.get(other).study == ""


def test_a_study_goes_with_its_last_run(store, race):
    study = store.create_study("race", race)
    for run_id in study.runs:
        assert store.studies() == [study]
        finish(store, run_id)
        store.delete(run_id)
    assert store.studies() == [] and not list(store.root.glob("studies/*"))
    with pytest.raises(UnknownRun):
        store.study(study.id)


def test_all_runs_or_none(store, race):
    nobody = make_job("evaluate", model={"id": "run:20200101-000000-0000"})
    with pytest.raises(UnknownRun):
        store.create_study("race", [*race, nobody])
    assert store.list() == [] and store.studies() == []


def test_a_study_that_cannot_be_written_leaves_no_run(store, race, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("apt_core.runs.studies_kept.write", full)
    with pytest.raises(Exception, match="free some space"):
        store.create_study("race", race)
    assert store.list() == [] and list(store.runs.iterdir()) == []


def test_a_torn_study_hides_no_run(store, race):
    study = store.create_study("race", race)
    (store.root / "studies" / study.id / "study.json").write_text('{"id": ')
    assert store.studies() == []
    with pytest.raises(BadInput, match="cannot be read"):
        store.study(study.id)
    assert len(store.runs_of(study.id)) == 3
    (store.root / "runs.db").unlink()
    assert len(Store(store.root).list()) == 3


def test_a_later_form_of_a_study_is_read_as_far_as_it_is_known(store, race):
    study = store.create_study("race", race)
    path = store.root / "studies" / study.id / "study.json"
    path.write_text(path.read_text().replace('"kind": "race"', '"kind": "race", "owner": "ada"', 1))
    assert store.study(study.id) == study


@pytest.mark.parametrize("wrong", ["", "..", "../runs", "20261124-130501-a1b2"])
def test_what_is_no_study_is_unknown(store, wrong):
    with pytest.raises(UnknownRun):
        store.study(wrong)


@pytest.mark.slow
def test_the_token_of_a_study_starts_all_its_runs(store, race, launch):
    launcher = launch("steady")
    study = launcher.submit_study("race", race, token="hf_secret")
    assert all(store.came_with_token(run_id) for run_id in study.runs)
    assert [launcher.wait(run_id).status for run_id in study.runs] == ["finished"] * 3
    assert isinstance(launcher, Launcher)
