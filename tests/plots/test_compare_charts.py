"""Charts of runs that are compared, and the heat map: what they draw, and that titles say no noise."""

import json
import math

import pytest

from apt_core.plots import charts, charts_of, curves, heat_map, layer_difference, perplexities
from apt_core.plots.chart import RunSet
from apt_core.plots.palette import swap
from apt_core.plots.run_marks import mark_of
from tests.studies.compared_runs import DENSE, FIRST, OTHER, THIRD, measured_run, pruned_run, worse


def compared(*records):
    return RunSet(records[0], tuple(records[1:]), compare=True)


def two(**other):
    return compared(pruned_run(FIRST), pruned_run(OTHER, method="wanda", **other))


def test_the_page_of_a_run_and_that_of_a_comparison_have_their_own_charts():
    on_run, on_set = ({chart.name for chart in charts(compare)} for compare in (False, True))
    assert on_set == {"perplexities", "costs", "curves", "difference", "recoveries"} and not on_run & on_set
    assert [chart.name for chart in charts_of(two())] == ["perplexities", "curves", "difference"]
    assert {"layers", "heat-map", "perplexity"} <= on_run


@pytest.mark.parametrize("dark", [False, True])
def test_every_chart_has_words_a_table_numbers_and_colours_of_the_palette(dark):
    runs = two(layer_factor=2.0)
    known = {shade.upper() for pair in swap().items() for shade in pair}
    for chart in charts_of(runs):
        table, sheet = chart.table(runs), chart.sheet(runs)
        assert chart.title(runs) and chart.summary(runs).endswith(".") and chart.note(runs)
        assert table.rows and sheet.rows and len(table.heads) == len(table.kinds)
        assert all(len(row.cells) == len(table.heads) for row in table.rows)
        assert all(len(row) == len(sheet.heads) for row in sheet.rows)
        drawn = json.loads(chart.figure(runs, dark).to_json())
        drawn["layout"].pop("template", None)  # plotly's own
        found = {part[:7].upper() for part in json.dumps(drawn).split('"') if part.startswith("#")}
        assert found and found <= known, "the page turns only these dark"


def test_a_line_for_every_run_that_pruned():
    runs = compared(
        pruned_run(FIRST), pruned_run(OTHER, method="wanda", layer_factor=3.0), measured_run(THIRD)
    )
    plot = curves.figure(runs)
    assert [trace.name for trace in plot.data] == ["APT · 2:4", "Wanda · 2:4"]
    assert list(plot.data[0].y) == pytest.approx([0.02, 0.04])
    assert list(plot.data[1].y) == pytest.approx([0.06, 0.12])
    assert plot.layout.yaxis.type == "log" and len(curves.table(runs).rows) == 6
    assert curves.table(runs).rows[0].cells == ("0", "self_attn.q_proj", "0.0100", "0.0300")


def test_a_dozen_runs_are_told_apart():
    assert len({mark_of(place) for place in range(12)}) == 12


def test_bars_with_intervals_and_the_dense_model_as_a_line():
    runs = compared(pruned_run(FIRST), pruned_run(OTHER, worse(0.4), method="wanda"), measured_run(THIRD))
    bars, measured, dense = perplexities.figure(runs).data
    values = [run.pruned.perplexity for run in runs.members[:2]]
    assert (bars.name, list(bars.x)) == ("pruned", values) and list(measured.x) == [
        pytest.approx(math.exp(17.8 / 6))
    ]
    highs = [run.pruned.high - run.pruned.perplexity for run in runs.members[:2]]
    assert list(bars.error_x.array) == pytest.approx(highs)
    assert dense.name == "dense" and set(dense.x) == {runs.shown.dense.perplexity}
    assert perplexities.figure(runs).layout.xaxis.type == "linear"


def test_a_broken_run_does_not_hide_the_others():
    plot = perplexities.figure(two(losses=[loss + 9 for loss in DENSE]))
    assert plot.layout.xaxis.type == "log" and plot.data[0].mode == "markers"


def test_the_lowest_run_is_named_only_where_the_windows_tell_it_from_every_other():
    clear = two(losses=worse(0.5))
    assert perplexities.title(clear) == "APT · 2:4 is lowest on Wikipedia summaries: 23.7"
    noise = [0.2 + by for by in (0.3, -0.28, 0.2, -0.2, 0.1, -0.1)]
    unclear = two(losses=[loss + more for loss, more in zip(DENSE, noise, strict=True)])
    assert perplexities.title(unclear) == "Perplexity of each run"
    assert perplexities.title(two(measured={"losses": ()})) == "Perplexity of each run", "cannot be paired"
    assert perplexities.title(compared(pruned_run(FIRST), measured_run(OTHER))).startswith(
        "Tiny <b>Llama</b> is lowest"
    )


def test_the_difference_of_two_has_zero_in_the_middle():
    runs = two(layer_factor=0.5)
    (map_,) = layer_difference.figure(runs).data
    assert list(map_.y) == ["q", "k", "down"] and list(map_.x) == [0, 1]
    assert [list(row) for row in map_.z] == [[pytest.approx(-1)] * 2] * 3
    assert map_.zmin == -map_.zmax and map_.colorscale[1][0] == 0.5
    (same,) = layer_difference.figure(two()).data
    assert all(level == 0 for row in same.z for level in row) and same.zmax > 0


def test_the_difference_is_of_two_runs_of_one_model():
    assert not layer_difference.applies(compared(*(pruned_run(run) for run in (FIRST, OTHER, THIRD))))
    assert not layer_difference.applies(compared(pruned_run(FIRST), measured_run(OTHER)))


def deep(run_id, factor, blocks=8, **job):
    """A run of more layers; factor: block -> what its errors are multiplied by."""
    record = pruned_run(run_id, **job)
    layers = tuple(
        layer.model_copy(update={"block": block, "relative_error": layer.relative_error * factor(block)})
        for block in range(blocks)
        for layer in record.layers[:3]
    )
    return record.model_copy(
        update={"layers": layers, "model": record.model.model_copy(update={"blocks": blocks})}
    )


def test_the_difference_says_which_has_more_error_only_where_a_sign_test_finds_it():
    first = deep(FIRST, lambda block: 1.0)
    worse_ = compared(first, deep(OTHER, lambda block: 1.5 if block else 0.9, method="wanda"))
    assert layer_difference.title(worse_) == "Wanda · 2:4 has more error than APT · 2:4 in 21 of 24 layers"
    better = compared(first, deep(OTHER, lambda block: 0.7, method="wanda"))
    assert layer_difference.title(better) == "Wanda · 2:4 has less error than APT · 2:4 in 24 of 24 layers"
    noise = compared(first, deep(OTHER, lambda block: 1.1 if block % 2 else 1 / 1.1, method="wanda"))
    assert layer_difference.title(noise) == "Layer errors: Wanda · 2:4 against APT · 2:4"
    assert layer_difference.title(two(layer_factor=3.0)).startswith("Layer errors"), "six layers show nothing"


def test_other_calibration_windows_are_pointed_out():
    assert "different windows" not in layer_difference.note(two())
    assert "different windows" in layer_difference.note(two(calibration={"samples": 5}))


def test_a_heat_map_of_one_run_once_it_is_over():
    runs = RunSet(pruned_run(FIRST))
    (map_,) = heat_map.figure(runs).data
    assert [list(row) for row in map_.z] == [
        [pytest.approx(math.log10(0.01 * block * place)) for block in (1, 2)] for place in (1, 2, 3)
    ]
    assert heat_map.title(runs) == "Error by block and projection"
    assert "Largest: block 1, down (0.0600)" in heat_map.summary(runs)
    assert heat_map.table(runs).rows[0].key == "1:mlp.down_proj"
    assert not heat_map.applies(RunSet(runs.shown.model_copy(update={"status": "running"})))


def test_experts_share_a_cell_and_an_exact_zero_has_no_colour():
    record = pruned_run(FIRST)
    names = ("mlp.experts.0.up_proj", "mlp.experts.1.up_proj", "self_attn.q_proj")
    errors = (0.01, 0.1, 0.0)
    layers = tuple(
        record.layers[0].model_copy(update={"block": block, "layer": name, "relative_error": error})
        for block in range(2)
        for name, error in zip(names, errors, strict=True)
    )
    (map_,) = heat_map.figure(RunSet(record.model_copy(update={"layers": layers}))).data
    assert [list(row) for row in map_.z] == [[pytest.approx(-1.5)] * 2, [None, None]]
    assert "1 more experts" in map_.customdata[0][0][0]
