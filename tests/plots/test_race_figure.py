"""The race as a chart: a line for every method, its words, and what survives an update."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "ui"))

from ui_helpers import a_recipe, a_record

from apt_core.methods import METHODS
from apt_core.plots import race as race_plot
from apt_core.plots.chart import RunSet
from apt_core.studies.race import race_of


def run(method, upto="finished", **changes):
    place = list(METHODS).index(method)
    return a_record(upto, run_id=f"20261124-0900{place:02}-0000", recipe=a_recipe(method=method), **changes)


def a_race(**upto):
    shown = run("apt", pruned=34.8)
    return RunSet(shown, (shown, *(run(name, state) for name, state in upto.items())))


def finished(perplexity):
    return RunSet(run("apt", pruned=34.8), (run("wanda", pruned=41.7), run("sparsegpt", pruned=perplexity)))


def test_a_line_for_every_method_and_the_one_shown_is_thicker():
    plot = race_plot.figure(a_race(wanda="layers", magnitude="queued"))
    assert [trace.name for trace in plot.data] == ["APT · 34.8", "Wanda", "Magnitude"]
    assert list(plot.data[1].x) == [0, 1] and list(plot.data[1].y) == pytest.approx([0.02, 0.04])
    assert list(plot.data[2].x) == [None]
    assert plot.data[0].line.width > plot.data[1].line.width == plot.data[2].line.width
    assert plot.layout.yaxis.type == "log" and list(plot.layout.xaxis.range) == [-0.5, 1.5]


def test_every_method_of_the_registry_has_a_shape_of_its_own():
    shown = run("apt")
    race = race_of(shown, [run(name, "queued") for name in METHODS])
    slots = race_plot.marks(race)
    assert len({shape for shape, _ in slots.values()}) == len(METHODS)
    assert len({colour for _, colour in slots.values()}) == min(8, len(METHODS))


def test_few_methods_have_colours_of_their_own_and_keep_them():
    names = list(METHODS)
    shown, far = run(names[0]), run(names[8], "queued")  # both would take the first colour
    slots = race_plot.marks(race_of(shown, [far]))
    assert len(set(slots.values())) == 2 and slots[shown.id][1] != slots[far.id][1]
    more = race_plot.marks(race_of(shown, [far, run(names[2], "queued")]))
    assert more[shown.id] == slots[shown.id]


def test_zoom_and_hidden_lines_survive_a_rival_that_comes():
    few, more = (
        race_plot.figure(a_race(wanda="layers")),
        race_plot.figure(a_race(sparsegpt="queued", wanda="pruned")),
    )
    assert few.layout.uirevision == more.layout.uirevision
    assert few.data[1].uid == more.data[2].uid != more.data[1].uid


def test_the_title_is_the_finding_once_all_are_over():
    assert race_plot.title(a_race(wanda="layers")) == "Race of two methods"
    assert race_plot.title(finished(29.8)) == "SparseGPT leads: 29.8 against 34.8 (APT)"
    assert race_plot.title(finished(34.81)) == "APT and SparseGPT are level at 34.8"


def test_the_summary_says_every_method_in_words():
    said = race_plot.summary(a_race(wanda="layers", magnitude="queued"))
    assert "APT: mean 0.0300, perplexity 34.8." in said
    assert "Wanda: 2 of 2 blocks." in said and "Magnitude: waiting." in said


def test_a_click_on_a_point_selects_no_layer():
    assert all(trace.meta is None for trace in race_plot.figure(finished(29.8)).data)


def with_losses(runs, *losses):
    """The same race with the losses of each run's windows."""
    ranked = zip([runs.shown, *runs.others], losses, strict=True)
    kept = []
    for record, of in ranked:
        evaluated = tuple(one.model_copy(update={"losses": of}) for one in record.evaluated)
        kept.append(record.model_copy(update={"evaluated": evaluated}))
    return RunSet(kept[0], tuple(kept[1:]))


def test_a_lead_is_said_only_where_the_windows_agree_on_it():
    """34.8 against 34.0 in the mean; the order of single windows decides whether that is more than chance."""
    race, shown = finished(34.0), (3.50, 3.60, 3.40, 3.55)
    steady = with_losses(
        race, shown, (4.0,) * 4, tuple(loss - 0.023 - 0.001 * n for n, loss in enumerate(shown))
    )
    assert race_plot.title(steady) == "SparseGPT leads: 34.0 against 34.8 (APT)"
    chance = with_losses(race, shown, (4.0,) * 4, (3.10, 3.90, 3.20, 3.76))
    assert race_plot.title(chance) == "No clear lead: SparseGPT 34.0, APT 34.8"
