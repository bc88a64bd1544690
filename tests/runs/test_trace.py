"""What a job takes while it works: bounded, in order, and the last word stays the last."""

from __future__ import annotations

import pytest

from apt_core import events as ev
from apt_core.events.records import RunRecord
from apt_core.jobs import make_job
from apt_core.plots.chart import RunSet
from apt_core.plots.resources import CHART
from apt_core.runs.executors.trace import traced
from tests.runs.fake_worker import finished, layer

LAYERS = [layer(number) for number in range(14)]


def after(seconds: list[float]):
    """A clock that a job of one event a second moves."""
    return lambda: seconds[0]


def job_of(length: int, now: list[float]):
    for number in range(length):
        now[0] += 1.0
        yield LAYERS[number % 14]
    yield finished()


@pytest.mark.parametrize("length", [1, 30, 5_000, 90_000])
def test_a_long_run_has_a_bounded_trace(length):
    now = [0.0]
    said = list(traced(job_of(length, now), after(now)))
    used = [one for one in said if isinstance(one, ev.Used)]
    assert isinstance(said[-1], ev.Finished) and isinstance(said[-2], ev.Used)
    assert [one for one in said if not isinstance(one, ev.Used)] == [
        *(LAYERS[number % 14] for number in range(length)),
        finished(),
    ]
    assert min(length, 15) <= len(used) < 700
    assert [one.seconds for one in used] == sorted(one.seconds for one in used)
    assert all(one.rss_bytes > 1e6 and one.cpu_seconds > 0 for one in used)


def test_closing_it_closes_the_job():
    closed = []

    def job():
        try:
            while True:
                yield layer(0)
        finally:
            closed.append(True)

    events = traced(job())
    next(events)
    events.close()
    assert closed == [True]


def test_the_chart_says_the_peak_and_the_cores():
    used = [
        ev.Used(rss_bytes=rss, cpu_seconds=cpu, seconds=seconds)
        for rss, cpu, seconds in [(5e8, 1, 0), (2e9, 19, 10), (1e9, 29, 20)]
    ]
    job = make_job("prune", model={"id": "tiny-llama"}, method="magnitude")
    runs = RunSet(RunRecord(id="20260101-000000-abcd", job=job, used=tuple(used)))
    assert CHART.applies(runs)
    assert CHART.title(runs) == "Peak memory 2.00 GB"
    assert [row.cells[3] for row in CHART.table(runs).rows] == ["–", "1.80", "1.00"]
    cores = CHART.figure(runs).data[-1]
    assert list(cores.y) == [None, 1.8, 1.0]
    assert CHART.sheet(runs).rows[1] == (10, 2_000_000_000, 0, 19)
