"""The layer chart of a model with a thousand layers: all of them in it, and built in a moment."""

from __future__ import annotations

import json
import time

import pytest

from apt_core.plots import charts_of, layer_error
from apt_core.plots.chart import RunSet
from tests.ui.ui_helpers import LAYERS, a_record

BLOCKS = 334  # of three layers each
MOST_SECONDS = 0.6  # of this process: four times what one core needs
ALL = 3 * BLOCKS


@pytest.fixture(scope="module")
def runs():
    return RunSet(a_record(blocks=BLOCKS))


def test_every_layer_has_a_point_a_row_and_a_line(runs):
    plot = layer_error.figure(runs)
    assert len(plot.data) == len(LAYERS) and sum(len(trace.x) for trace in plot.data) == ALL
    assert len(layer_error.table(runs).rows) == len(layer_error.sheet(runs).rows) == ALL


@pytest.mark.alone
def test_it_is_built_in_a_moment(runs):
    """Figure, its JSON, words, table and numbers, as the page asks for them at every update."""
    layer_error.title(runs)  # scipy is imported once
    started = time.process_time()
    json.loads(layer_error.figure(runs).to_json())
    for part in (layer_error.title, layer_error.summary, layer_error.table, layer_error.sheet):
        part(runs)
    assert time.process_time() - started < MOST_SECONDS


@pytest.mark.alone
def test_every_other_chart_of_such_a_run_is_built_in_a_moment_too(runs):
    for chart in charts_of(runs):
        chart.title(runs)
        started = time.process_time()
        chart.figure(runs).to_json()
        assert time.process_time() - started < MOST_SECONDS, chart.name
