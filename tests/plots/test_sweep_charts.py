"""The charts of a sweep: lines against sparsity, the knee by its rule, the front, and what hostile numbers do."""

from __future__ import annotations

import json
import math

import pytest

from apt_core import events as ev
from apt_core.events.records import RunRecord
from apt_core.jobs import make_job
from apt_core.jobs.space import make_space
from apt_core.plots import charts_of, costs, parallel, pareto, sparsity
from apt_core.plots.chart import RunSet
from apt_core.studies.curve import Point, front, knee
from apt_core.studies.race import race_of
from tests.runs.fake_worker import evaluated

BASE = make_job("prune", model={"id": "tiny-llama"}, method="apt")
OURS = (sparsity.CHART, pareto.CHART, parallel.CHART)


def record(number, job, perplexity, study="20261126-100000-aaaa"):
    measured = (evaluated("dense", 10.0), evaluated("pruned", perplexity))
    return RunRecord(
        id=f"20261126-10000{number}-abcd",
        job=job,
        study=study,
        status="finished",
        evaluated=measured,
        finished=ev.Finished(
            sparsity=job.pattern.sparsity,
            seconds={"prune": 10.0 - number},
            peak_rss_bytes=10**9 * (number + 1),
        ),
    )


def a_sweep(ratio=lambda share: 1 + 8 * share**10, **axes):
    jobs = (
        make_space(BASE, **{"methods": ("apt", "wanda"), "patterns": (0.2, 0.4, 0.6, 0.8)} | axes)
        .expand()
        .jobs
    )
    records = [
        record(number, job, 10.0 * ratio(job.pattern.sparsity) + (job.method.name == "wanda"))
        for number, job in enumerate(jobs)
    ]
    return RunSet(records[0], tuple(reversed(records[1:])))


def point(share, perplexity, **more):
    fields = {"run": f"{share}", "label": "", "series": "", "seconds": 1.0, "memory": 1}
    return Point(sparsity=share, perplexity=perplexity, **fields | more)


def test_a_line_for_every_method_by_sparsity_and_a_dense_level():
    runs = a_sweep()
    plot = sparsity.figure(runs)
    lines = [trace for trace in plot.data if trace.mode == "lines+markers"]
    assert [trace.name for trace in lines] == ["APT", "Wanda"]
    assert list(lines[0].x) == [0.2, 0.4, 0.6, 0.8] and list(lines[0].y) == sorted(lines[0].y)
    (dense,) = [trace for trace in plot.data if trace.name == "dense 10.0"]
    assert list(dense.y) == [10.0, 10.0]
    assert "Dense 10" in sparsity.summary(runs)


def test_a_race_of_a_sweep_is_between_runs_of_the_same_task():
    runs = a_sweep()
    members = race_of(runs.shown, runs.others).members
    assert [(one.job.method.name, one.job.pattern.label) for one in members] == [
        ("apt", "20%"),
        ("wanda", "20%"),
    ]


def test_the_knee_is_the_point_farthest_below_the_line_in_logarithms():
    shares = [0.1 * step for step in range(1, 10)]
    curve = [point(share, 10.0 * math.exp(max(0.0, share - 0.6) * 9)) for share in shares]
    found = knee(10.0, curve)
    assert found is not None and found.point.sparsity == pytest.approx(0.6)
    assert found.bend == pytest.approx(0.6 / 0.9)
    rings = [trace for trace in sparsity.figure(a_sweep()).data if trace.name.endswith(", knee")]
    assert [list(ring.x) for ring in rings] == [[0.6], [0.6]] and "ring" in sparsity.note(a_sweep())


@pytest.mark.parametrize(
    "curve",
    [
        [],
        [point(0.5, 20.0)],
        [point(0.2, 11.0), point(0.4, 12.0)],
        [point(share, 10.0 * math.exp(share)) for share in (0.2, 0.4, 0.6)],  # straight
        [point(share, 9.0) for share in (0.2, 0.4, 0.6)],  # below the dense one
        [point(0.0, 11.0), point(0.0, 12.0), point(0.0, 13.0)],
    ],
)
def test_what_does_not_bend_has_no_knee(curve):
    assert knee(10.0, curve) is None


def test_the_front_holds_whoever_no_other_beats():
    points = [
        point(0.1, 30.0, seconds=1),
        point(0.2, 20.0, seconds=2),
        point(0.3, 25.0, seconds=3),
        point(0.4, 20.0, seconds=4),
        point(0.5, 10.0, seconds=5),
    ]
    best = front(points, lambda one: one.seconds)
    assert [one.sparsity for one in best] == [0.1, 0.2, 0.5]
    for one in points:
        beaten = any(o.perplexity < one.perplexity and o.seconds <= one.seconds for o in points)
        assert (one in best) <= (not beaten)


def test_every_axis_in_which_the_jobs_differ_is_there_to_select_from():
    runs = a_sweep(patterns=("2:4", 0.5), seeds=(0, 1))
    labels = [dimension.label for dimension in parallel.figure(runs).data[0].dimensions]
    assert labels == ["method", "pattern", "seed", "seconds", "perplexity"]


@pytest.mark.parametrize("chart", OURS, ids=lambda chart: chart.name)
def test_words_table_numbers_and_figure_are_of_the_same_runs(chart):
    runs = a_sweep()
    assert chart in charts_of(runs)
    table, sheet = chart.table(runs), chart.sheet(runs)
    assert len(table.rows) == len(sheet.rows) == 8
    assert all(len(row.cells) == len(table.heads) == len(table.kinds) for row in table.rows)
    assert all(len(row) == len(sheet.heads) for row in sheet.rows)
    assert chart.title(runs) and chart.summary(runs).endswith(".")
    json.loads(chart.figure(runs).to_json())


@pytest.mark.parametrize("chart", OURS, ids=lambda chart: chart.name)
def test_runs_of_no_study_or_of_another_one_are_not_in_it(chart):
    runs = a_sweep()
    alone = runs.shown.model_copy(update={"study": ""})
    assert not chart.applies(RunSet(alone, runs.others))
    other = runs.shown.model_copy(update={"study": "20261126-100000-bbbb"})
    assert not chart.applies(RunSet(other, runs.others))


@pytest.mark.parametrize("chart", OURS, ids=lambda chart: chart.name)
def test_a_run_that_failed_or_works_has_no_point(chart):
    runs = a_sweep()
    failed = runs.others[0].model_copy(update={"status": "failed", "finished": None})
    assert len(chart.sheet(RunSet(runs.shown, (failed, *runs.others[1:]))).rows) == 7


def test_every_colour_of_the_front_is_named_once():
    plot = pareto.figure(a_sweep(methods=("wanda", "apt"), patterns=(0.3, 0.5)))
    named = [trace.name for trace in plot.data if trace.showlegend]
    assert sorted(named) == ["APT", "Wanda"]
    shades = {(trace.name, trace.marker.color) for trace in plot.data if trace.name}
    assert len(shades) == len(named), "a series has one colour in all panels"


def test_the_names_beside_the_first_axis_have_room():
    for methods in (("apt", "ria"), ("sparsegpt", "sparseswaps")):
        plot = parallel.figure(a_sweep(methods=methods))
        longest = max(map(len, plot.data[0].dimensions[0].ticktext))
        assert plot.layout.margin.l >= 7 * longest


def test_what_a_run_costs_is_never_drawn_below_nothing():
    plot = pareto.figure(a_sweep())
    assert {axis.rangemode for axis in plot.select_xaxes()} == {"nonnegative"}


def test_runs_that_are_compared_have_a_front_where_they_read_the_same():
    runs = a_sweep()
    chosen = RunSet(runs.members[0], runs.members[1:4], compare=True)
    assert costs.CHART in charts_of(chosen) and sparsity.CHART not in charts_of(chosen)
    assert not any(cell.shown for row in pareto.table(chosen).rows for cell in row.cells[:1])
    twice = [record(place, run.job, 20.0 + place) for place, run in enumerate(runs.members[:1] * 3)]
    labels = [
        row.cells[0].text for row in pareto.table(RunSet(twice[0], tuple(twice[1:]), compare=True)).rows
    ]
    assert len(set(labels)) == 3
    other = runs.members[3]
    windows = tuple(one.model_copy(update={"samples": 2}) for one in other.job.evaluation)
    apart = other.model_copy(update={"job": other.job.model_copy(update={"evaluation": windows})})
    assert costs.CHART not in charts_of(RunSet(chosen.shown, (*chosen.others[:2], apart), compare=True))
