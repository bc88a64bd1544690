"""The rows of a sweep: every run in the study's order, and what sharing has spared."""

from __future__ import annotations

import json

import pytest

from apt_core import events as ev
from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord
from apt_core.jobs import make_job
from apt_core.jobs.space import make_space
from apt_core.jobs.study import Study
from apt_core.studies import sweep

BASE = make_job("prune", model={"id": "tiny-llama"}, method="apt")
SPACE = make_space(BASE, methods=("apt", "wanda"), patterns=("2:4", 0.5))
JOBS = SPACE.expand().jobs
STUDY = Study(id="s", kind="sweep", created_at=0.0, jobs=JOBS, runs=("a", "b", "c", "d"), space=SPACE)


def finished(run: str, job, seconds: float, spared: dict[str, float], begun: float = 100.0) -> RunRecord:
    return RunRecord(
        id=run,
        job=job,
        status="finished",
        started_at=begun,
        ended_at=begun + seconds,
        finished=ev.Finished(seconds={"total": seconds - 1}, spared=spared, peak_rss_bytes=1),
    )


RECORDS = [
    RunRecord(id="c", job=JOBS[2], status="failed", failure=ev.Failed(reason="error", message="No room.")),
    finished("a", JOBS[0], 10.0, {}),
    finished("b", JOBS[1], 6.0, {"dense_eval": 3.0, "gradients": 1.0}, begun=110.0),
]
ROWS = sweep.rows_of(STUDY, RECORDS)


def test_rows_follow_the_study_whatever_became_of_the_runs():
    assert [(row.run, row.status) for row in ROWS] == [
        ("a", "finished"),
        ("b", "finished"),
        ("c", "failed"),
        ("d", "deleted"),
    ]


def test_a_stage_that_was_reused_counts_for_every_run_that_used_it():
    assert [row.alone for row in ROWS] == [10.0, 10.0, None, None]
    assert sweep.total_seconds(ROWS) == {"total": 16.0, "alone": 20.0}


def test_what_runs_do_side_by_side_counts_once():
    """Three within 100 to 112, one of them inside another; a fourth after a pause."""
    times = ((100.0, 10.0), (104.0, 8.0), (105.0, 2.0), (200.0, 5.0))
    records = [
        finished(run, job, seconds, {}, begun)
        for run, job, (begun, seconds) in zip("abcd", JOBS, times, strict=True)
    ]
    rows = sweep.rows_of(STUDY, records)
    assert sweep.worked_side_by_side(rows) and not sweep.worked_side_by_side(ROWS)
    assert sweep.total_seconds(rows) == {"total": 17.0, "alone": 25.0}


def test_the_json_has_every_run_with_what_it_was_asked_for():
    told = json.loads(json.dumps(sweep.sweep_json(STUDY, ROWS), allow_nan=False))
    assert told["study"] == "s" and told["seconds"] == {"total": 16.0, "alone": 20.0}
    asked = [(run["method"], run["pattern"], run["allocation"], run["seed"]) for run in told["runs"]]
    assert asked == [(job.method.name, job.pattern.label, job.method.allocation.name, 0) for job in JOBS]
    assert told["runs"][2]["failure"] == "No room." and told["runs"][3]["seconds"] is None


def test_what_was_stopped_can_go_on():
    assert sweep.can_go_on(STUDY, ROWS) and not sweep.can_go_on(STUDY, ROWS[:2]) and not sweep.live(ROWS)


def test_a_race_is_no_sweep():
    with pytest.raises(BadInput, match="is a race"):
        sweep.check_is_sweep(STUDY.model_copy(update={"kind": "race"}))
