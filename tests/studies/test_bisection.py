"""The search for the highest sparsity, on models whose perplexity is a known function of it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from apt_core import events as ev
from apt_core.base.patterns import parse_pattern
from apt_core.events.records import RunRecord
from apt_core.jobs import make_job
from apt_core.jobs.bisection import Bisection
from apt_core.jobs.study import Study
from apt_core.runs.store import Store
from apt_core.studies.bisection import (
    MOST_RUNS,
    Ask,
    Found,
    Wait,
    advance,
    first_job,
    next_job,
    result_json,
)
from tests.runs.fake_worker import evaluated
from tests.studies import compared_runs

BASE = make_job("prune", model={"id": "tiny-llama"}, method="apt", pattern=parse_pattern("0.5").model_dump())
SEARCH = Bisection(base=BASE)


def record(run, job, ratio):
    """ratio: None for a run that broke the model."""
    if ratio is None:
        return broken(run, job)
    measured = (evaluated("dense", 10.0), evaluated("pruned", 10.0 * ratio))
    return RunRecord(id=run, job=job, status="finished", evaluated=measured)


def broken(run, job, reason="not_numbers"):
    """A run that measured the dense model and failed after that."""
    failure = ev.Failed(reason=reason, message="The predictions are not numbers any more.")
    found = record(run, job, 1.0)
    return found.model_copy(update={"status": "failed", "evaluated": found.evaluated[:1], "failure": failure})


def a_study(jobs, search=SEARCH):
    runs = tuple(f"r{number}" for number in range(len(jobs)))
    return Study(id="s", kind="bisection", created_at=0, jobs=tuple(jobs), runs=runs, bisection=search)


def searched(ratio_at, search=SEARCH):
    """(the percentages in the order in which they were tried, the answer)"""
    jobs = [first_job(search)]
    while True:
        study = a_study(jobs, search)
        records = [
            record(run, job, ratio_at(job.pattern.sparsity))
            for run, job in zip(study.runs, jobs, strict=True)
        ]
        step = next_job(study, records)
        if isinstance(step, Found):
            return [round(100 * job.pattern.sparsity) for job in jobs], step
        assert isinstance(step, Ask) and len(jobs) < MOST_RUNS
        jobs.append(step.job)


@pytest.mark.parametrize("border", range(0, 100))
def test_every_border_is_found_within_a_percent_and_few_runs(border):
    """Ratio 1.1 exactly at the border: what does not exceed the bound passes."""
    tried, found = searched(lambda sparsity: 1.1 + (round(100 * sparsity) - border) / 1000)
    assert found.percent == (border or None) and len(tried) <= MOST_RUNS == 8
    assert len(set(tried)) == len(tried)
    assert "does not simply grow" not in found.sentence


def test_one_more_run_looks_above_the_border():
    tried, found = searched(lambda sparsity: 1.0 if sparsity <= 0.43 else 2.0)
    assert tried == [50, 25, 37, 43, 46, 44, 45] and found.percent == 43


def test_what_passes_above_a_failure_is_the_answer_and_is_said():
    tried, found = searched(lambda sparsity: 2.0 if 0.44 <= sparsity < 0.45 or sparsity > 0.46 else 1.0)
    assert found.percent == max(percent for percent in tried if percent in (45, 46) or percent < 44)
    tried, found = searched(lambda sparsity: 1.0 if sparsity <= 0.24 or round(100 * sparsity) == 37 else 2.0)
    assert tried[-1] == 37 and found.percent == 37
    assert "does not simply grow" in found.sentence and "25%" in found.sentence


def test_the_tolerance_saves_runs():
    tried, found = searched(
        lambda sparsity: 1.0 if sparsity <= 0.43 else 2.0, Bisection(base=BASE, tolerance=0.1)
    )
    assert len(tried) <= 5 and 33 <= found.percent <= 43


def test_a_model_that_bears_nothing_says_so():
    tried, found = searched(lambda sparsity: 5.0)
    assert found.percent is None and "No sparsity" in found.sentence and min(tried) == 1


def test_a_run_that_works_is_waited_for_and_a_stopped_one_stops_the_search():
    study = a_study([first_job(SEARCH)])
    live = record("r0", study.jobs[0], 1.0).model_copy(update={"status": "running"})
    assert next_job(study, [live]) == Wait() == next_job(study, [live.model_copy(update={"evaluated": ()})])
    for status in ("cancelled", "failed"):
        step = next_job(study, [live.model_copy(update={"status": status})])
        assert isinstance(step, Wait) and "r0" in step.reason
    assert next_job(study, []).reason  # deleted


def test_a_model_that_predicts_no_numbers_did_not_pass_and_the_search_goes_on():
    tried, found = searched(lambda sparsity: 1.05 if sparsity <= 0.5 else None)
    assert found.percent == 50 and found.run == "r0" and tried[:3] == [50, 75, 62]
    tried, found = searched(lambda sparsity: None)
    assert found.percent is None and min(tried) == 1
    assert "at 1% nothing is predicted any more" in found.sentence


def test_another_failure_stands_beside_the_best_so_far():
    study = a_study([first_job(SEARCH), BASE])
    passed = record("r0", study.jobs[0], 1.05)
    step = next_job(study, [passed, broken("r1", study.jobs[1], "out_of_memory")])
    assert isinstance(step, Wait) and "r1 did not finish" in step.reason
    assert "So far 50% is the most that passed (1.05 ×, run r0)." in step.reason
    dense_too = broken("r1", study.jobs[1]).model_copy(update={"evaluated": ()})
    assert "r1 did not finish" in next_job(study, [passed, dense_too]).reason


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_a_run_that_ended_once_it_was_measured_is_not_the_best_so_far(status):
    """Its model is gone; the sentence named it as the best and as unfinished."""
    study = a_study([first_job(SEARCH)])
    step = next_job(study, [record("r0", study.jobs[0], 1.05).model_copy(update={"status": status})])
    assert isinstance(step, Wait) and "r0 did not finish" in step.reason and "So far" not in step.reason


def test_what_broke_the_model_is_not_run_again(tmp_path):
    store = Store(tmp_path / "data")
    study = store.create_study("bisection", [first_job(SEARCH)], asked=SEARCH)
    fail(store, study.runs[0], "not_numbers")
    assert store.renew_study(study.id).runs == study.runs and advance(store, study.id)
    assert [job.pattern.label for job in store.study(study.id).jobs] == ["50%", "25%"]
    fail(store, store.study(study.id).runs[1], "worker_died")
    assert not advance(store, study.id)
    assert store.renew_study(study.id).runs[1] not in study.runs


def fail(store, run_id, reason):
    with store.index.write() as rows:
        rows.update(run_id, status="failed")
    for event in (
        ev.Started(pid=1),
        evaluated("dense", 10.0),
        ev.Failed(reason=reason, message="It could not go on."),
    ):
        store.append(run_id, event)


def test_the_state_is_the_study_and_its_records(tmp_path):
    """Another process, after a restart, adds the next run; nobody adds it twice."""
    store = Store(tmp_path / "data")
    study = store.create_study("bisection", [first_job(SEARCH)], asked=SEARCH)
    assert not advance(store, study.id)
    finish(store, study.runs[0], 1.05)
    again = Store(tmp_path / "data")
    assert advance(again, study.id) and not advance(again, study.id) and not advance(store, study.id)
    grown = store.study(study.id)
    assert [job.pattern.label for job in grown.jobs] == ["50%", "75%"]
    assert [one.status for one in store.runs_of(study.id)] == ["finished", "queued"]
    race = store.create_study("race", [BASE, BASE])
    assert not advance(store, race.id)


def finish(store, run_id, ratio):
    with store.index.write() as rows:
        rows.update(run_id, status="finished")
    for event in (ev.Started(pid=1), evaluated("dense", 10.0), evaluated("pruned", 10.0 * ratio)):
        store.append(run_id, event)
    store.append(run_id, ev.Finished(seconds={"total": 1.0}, peak_rss_bytes=1))


@pytest.mark.parametrize(
    "changes",
    [
        {"within": 1.0},
        {"tolerance": 0.0},
        {"base": BASE.model_copy(update={"pattern": parse_pattern("2:4")})},
    ],
)
def test_what_makes_no_sense_is_refused(changes):
    with pytest.raises(ValidationError):
        Bisection(**{"base": BASE} | changes)


def test_the_answer_says_how_far_its_windows_can_be_trusted():
    """Half passes at 1.08 on average; the windows spread so far that it may not on others."""

    def measured(run, job, differences):
        dense = [2.0, 2.2, 2.4]
        pruned = [loss + by for loss, by in zip(dense, differences, strict=True)]
        both = (compared_runs.evaluated("dense", dense), compared_runs.evaluated("pruned", pruned))
        return RunRecord(id=run, job=job, status="finished", evaluated=both)

    def answered(differences):
        jobs = [BASE.model_copy(update={"pattern": parse_pattern(f"0.{at}")}) for at in (50, 51, 75)]
        wide = SEARCH.model_copy(update={"tolerance": 0.01})
        study = a_study(jobs, wide)
        found = [measured("r0", jobs[0], differences), record("r1", jobs[1], 2.0), record("r2", jobs[2], 2.0)]
        return next_job(study, found), result_json(study, found)

    found, told = answered((0.02, 0.08, 0.13))
    assert found.percent == 50 and "95% CI" in found.sentence and "reaches beyond the bound" in found.sentence
    assert told["ratio"]["high"] > 1.1 > told["ratio"]["ratio"] and told["run"] == "r0"
    sure, _ = answered((0.05, 0.05, 0.05))
    assert "95% CI 1.05 to 1.05" in sure.sentence and "beyond the bound" not in sure.sentence
