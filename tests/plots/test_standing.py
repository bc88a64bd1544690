"""How a race stands: sorted bars with intervals, and a lead within noise that is called a tie."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "ui"))

from ui_helpers import a_recipe, a_record

from apt_core.methods import METHODS
from apt_core.plots import charts_of, race, standing
from apt_core.plots.chart import RunSet


def run(method, losses=None, upto="finished", perplexity=30.0):
    """losses: of the windows, for what the paired test sees."""
    place = list(METHODS).index(method)
    recipe = a_recipe(method=method, evaluation={"text": "wiki-sample"})
    record = a_record(upto, run_id=f"20261124-0900{place:02}-0000", recipe=recipe, pruned=perplexity)
    if losses is None:
        return record
    measured = tuple(
        one.model_copy(update={"text": "wiki-sample", "losses": tuple(losses), "windows": len(losses)})
        for one in record.evaluated
    )
    return record.model_copy(update={"evaluated": measured})


def windows(shift=0.0, jitter=0.0):
    """Eight windows, some harder than others, each shifted by as much and by turns a little more or less."""
    return [3.0 + 0.2 * (n % 4) + shift + jitter * (-1) ** n for n in range(8)]


def test_the_best_comes_first_whichever_is_shown():
    runs = RunSet(run("apt", perplexity=40.0), (run("wanda", perplexity=30.0), run("ria", perplexity=35.0)))
    bars = standing.figure(runs).data[0]
    assert list(bars.x) == [30.0, 35.0, 40.0] and list(bars.y) == sorted(bars.y)
    assert [row.cells[1].run_id for row in standing.table(runs).rows] == [
        one.id for one in (*runs.others, runs.shown)
    ]
    assert [row[4] for row in standing.sheet(runs).rows if row[3] == "pruned"] == [30.0, 35.0, 40.0]


def test_it_is_the_first_chart_of_a_race_and_of_nothing_else():
    shown, other = run("apt"), run("wanda")
    assert charts_of(RunSet(shown, (other,)))[0].name == "standing"
    assert "standing" not in [chart.name for chart in charts_of(RunSet(shown))]
    assert "standing" not in [
        chart.name for chart in charts_of(RunSet(shown, (run("wanda", upto="layers"),)))
    ]


@pytest.mark.parametrize(
    ("others", "title"),
    [
        ({"wanda": (35.0, windows(0.3, 0.01))}, "APT (30.0) leads; next is Wanda (35.0)"),
        ({"wanda": (30.4, windows(0.01, 0.2))}, "A tie within noise: APT (30.0) and Wanda (30.4)"),
        (
            {"wanda": (30.4, windows(0.01, 0.2)), "ria": (39.0, windows(0.4, 0.01))},
            "A tie within noise: APT (30.0) and Wanda (30.4)",
        ),
        (
            {"wanda": (30.4, windows(0.01, 0.2)), "ria": (30.6, windows(0.02, 0.3))},
            "A tie within noise: APT (30.0), Wanda (30.4) and RIA (30.6)",
        ),
    ],
)
def test_a_lead_that_windows_cannot_show_is_a_tie(others, title):
    rivals = tuple(run(name, losses, perplexity=known) for name, (known, losses) in others.items())
    assert standing.title(RunSet(run("apt", windows()), rivals)) == title


def test_nobody_leads_while_methods_are_still_to_come():
    runs = RunSet(run("apt"), (run("wanda", perplexity=35.0), run("ria", upto="layers")))
    live = runs._replace(others=(runs.others[0], runs.others[1].model_copy(update={"status": "running"})))
    assert standing.title(live) == "The race so far; one method is still to come"
    assert standing.CHART.rivals(live) == () and len(race.CHART.rivals(live)) == 2  # they are linked once
    assert standing.looks(live) != standing.looks(runs._replace(others=runs.others[:1]))
