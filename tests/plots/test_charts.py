"""The registry of charts: one file adds one to the page, its table and its downloads."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import gradio as gr
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "ui"))

from ui_helpers import FakeLauncher, FakeReader, FakeStore, a_record, some_events

from apt_core import plots
from apt_core.events import Allocated
from apt_core.plots import allocation, charts, charts_of, every_chart
from apt_core.plots.chart import RunSet
from apt_core.ui import server
from apt_core.ui.studio import Studio
from apt_core.ui.tabs import explore, result
from apt_core.ui.views import run_view

RUN = "20261124-100000-abcd"
A_CHART = """
import plotly.graph_objects as go

from apt_core.plots.chart import Chart, Row, Sheet, Table

CHART = Chart(
    name="seconds",
    applies=lambda runs: bool(runs.shown.layers),
    looks=lambda runs: len(runs.shown.layers),
    title=lambda runs: "Time of each layer",
    figure=lambda runs: go.Figure(go.Bar(y=[layer.seconds for layer in runs.shown.layers])),
    summary=lambda runs: f"{len(runs.shown.layers)} layers.",
    table=lambda runs: Table(
        "Time", ("layer", "time"), tuple(Row((layer.layer, "0.2 s")) for layer in runs.shown.layers), "tn"
    ),
    sheet=lambda runs: Sheet(("layer", "seconds"), tuple((one.layer, one.seconds) for one in runs.shown.layers)),
    views=("overview",),
    place=50,
)
"""


@pytest.fixture
def fresh_registry():
    every_chart.cache_clear()
    yield
    every_chart.cache_clear()


@pytest.fixture
def studio(tmp_path):
    store = FakeStore(checkpoint=tmp_path)
    store.put(RUN, some_events())
    return Studio(store, FakeLauncher(store), FakeReader(), {})


def on_the_page(studio):
    """The parts that the page has places for, filled for the run."""
    with gr.Blocks():
        laid_out = explore.lay_out().result
    names = {component: name for name, component in laid_out.parts.items()}
    return {
        names[part]: value
        for part, value in result.show(laid_out, studio, studio.record(RUN)).items()
        if part in names
    }


def csv_of(studio, name):
    return server.answer(studio, RUN, f"{name}.csv")


def test_a_chart_in_one_file_is_on_the_page_with_its_table_and_its_download(
    studio, tmp_path, monkeypatch, fresh_registry
):
    assert "seconds-chart" not in on_the_page(studio) and csv_of(studio, "seconds").status_code == 404
    (tmp_path / "seconds_spent.py").write_text(A_CHART)
    monkeypatch.setattr(plots, "__path__", [*plots.__path__, str(tmp_path)])
    every_chart.cache_clear()
    shown = on_the_page(studio)
    assert shown["seconds-chart"]["title"] == "Time of each layer"
    assert shown["seconds-chart"]["csv"] == f"studio/runs/{RUN}/seconds.csv"
    assert "0.2 s" in shown["seconds-chart"]["table"] and "Seconds, CSV" in shown["downloads"]
    assert csv_of(studio, "seconds").body.decode().startswith("layer,seconds\nself_attn.q_proj,0.2\n")
    state = run_view.shows(studio, studio.record(RUN))
    assert "seconds=" in state["charts"]
    sys.modules.pop("apt_core.plots.seconds_spent", None)


def test_a_chart_of_another_package_comes_by_its_entry_point(studio, tmp_path, monkeypatch, fresh_registry):
    (tmp_path / "a_package_with_a_chart.py").write_text(A_CHART)
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = [
        EntryPoint("seconds", "a_package_with_a_chart:CHART", plots.GROUP),
        EntryPoint("broken", "no_such_package:CHART", plots.GROUP),
    ]
    monkeypatch.setattr(plots, "entry_points", lambda group: entries if group == plots.GROUP else [])
    every_chart.cache_clear()
    assert "seconds" in [chart.name for chart in charts()], "and the broken one is left out"
    assert on_the_page(studio)["seconds-chart"]["title"] == "Time of each layer"


def test_every_chart_has_words_a_table_and_numbers_of_the_same_runs():
    runs = RunSet(a_record())
    for chart in charts_of(runs):
        table, sheet = chart.table(runs), chart.sheet(runs)
        assert chart.title(runs) and chart.summary(runs).endswith(".")
        assert table.rows and sheet.rows and len(table.heads) == len(table.kinds)
        assert all(len(row.cells) == len(table.heads) for row in table.rows)
        assert all(len(row) == len(sheet.heads) for row in sheet.rows)


def uneven(shares):
    record = a_record(blocks=2)
    layers = tuple(
        layer.model_copy(update={"sparsity": share, "removed": int(share * layer.shape[0] * layer.shape[1])})
        for layer, share in zip(record.layers, shares, strict=True)
    )
    return RunSet(record.model_copy(update={"layers": layers}))


def test_an_allocation_is_shown_where_layers_differ_and_only_there():
    assert not allocation.applies(RunSet(a_record()))
    runs = uneven([0.25, 0.5, 0.5, 0.5, 0.5, 0.75])
    assert allocation.applies(runs) and allocation.title(runs) == "Layers lose 25% to 75% of their weights"
    assert "The least goes in block 0, q (25%), the most in block 1, down (75%)" in allocation.summary(runs)
    assert list(allocation.figure(runs).data[0].y) == [0.25, 0.5]
    assert allocation.sheet(runs).rows[0] == (0, "self_attn.q_proj", 0.25, 0.25)


def test_the_axis_of_an_allocation_is_linear_and_holds_every_layer():
    axis = allocation.figure(uneven([0.25, 0.5, 0.5, 0.5, 0.5, 0.75])).layout.yaxis
    low, high = axis.range
    assert axis.type == "linear" and low < 0.25 and high > 0.75


def test_an_allocation_is_shown_as_it_was_given_before_any_layer_is_pruned():
    given = {"0:self_attn.q_proj": 0.3, "1:self_attn.q_proj": 0.7, "0:mlp.experts.0.down_proj": 0.6}
    record = a_record("loaded").model_copy(update={"allocated": Allocated(shares=given)})
    runs = RunSet(record)
    assert allocation.applies(runs) and allocation.title(runs) == "Layers lose 30% to 70% of their weights"
    assert [(trace.name, list(trace.y)) for trace in allocation.figure(runs).data] == [
        ("q", [0.3, 0.7]),
        ("down", [0.6]),
    ]
    assert [row.cells[3] for row in allocation.table(runs).rows] == ["–", "–", "–"]
