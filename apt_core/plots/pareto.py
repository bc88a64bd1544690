"""What a sweep's runs cost and what they give: perplexity against time and memory, the front of Pareto drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from apt_core.base.words import duration, number, percent, size
from apt_core.plots.chart import Chart, Row, RunLink, RunSet, Sheet, Table
from apt_core.plots.look import ground, thin_axis
from apt_core.plots.palette import colour
from apt_core.studies.curve import Point, front, points_of, sweep_of

_FEWEST = 3  # two runs are compared without a front
_HOVER = "<b>%{text}</b><br>perplexity %{customdata[0]}, %{customdata[1]}<extra></extra>"


class _Cost(NamedTuple):
    """An axis of the chart: what a run costs, as a number that is drawn and as words."""

    title: str
    value: Callable[[Point], float]
    said: Callable[[Point], str]


# Sparsity stands for size: what a packed file takes falls with every weight that goes.
_COSTS = (
    _Cost("weights kept, %", lambda one: 100 * (1 - one.sparsity), lambda one: percent(1 - one.sparsity)),
    _Cost("seconds of pruning", lambda one: one.seconds, lambda one: duration(one.seconds)),
    _Cost("peak memory, GB", lambda one: one.memory / 1e9, lambda one: size(one.memory)),
)


def applies(runs: RunSet) -> bool:
    return len(_points(runs)) >= _FEWEST


def looks(runs: RunSet) -> object:
    return [(point.run, point.perplexity) for point in _points(runs)]


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    """One panel for each cost, below one another so that a narrow screen keeps its width."""
    points = _points(runs)
    plot = make_subplots(rows=len(_COSTS), cols=1, vertical_spacing=0.11)
    for row, cost in enumerate(_COSTS, start=1):
        plot.add_trace(_front_line(front(points, cost.value), cost, dark), row=row, col=1)
        plot.add_trace(_marks(points, cost, runs.marked, dark), row=row, col=1)
    return _laid_out(plot, runs.shown.study, dark)


def title(runs: RunSet) -> str:
    """Who is on every front, when it is one run; a plain name otherwise."""
    points = _points(runs)
    fronts = [{one.run for one in front(points, cost.value)} for cost in _COSTS]
    always = [one for one in points if all(one.run in best for best in fronts)]
    if len(always) == 1 and all(len(best) == 1 for best in fronts):
        return f"{always[0].label} is better in everything"
    return "What is given for what is saved"


def summary(runs: RunSet) -> str:
    """The fronts in words."""
    points = _points(runs)
    said = [
        f"By {cost.title}: "
        + ", ".join(
            f"{one.label} ({cost.said(one)}, perplexity {number(one.perplexity)})"
            for one in front(points, cost.value)
        )
        for cost in _COSTS
    ]
    return f"Runs that no other run beats in both. {'; '.join(said)}."


def note(runs: RunSet) -> str:
    return (
        "The line joins the runs that no other beats in both perplexity and cost. Seconds and memory are those of "
        "pruning, as measured in these runs."
    )


def table(runs: RunSet) -> Table:
    points = _points(runs)
    fronts = [{one.run for one in front(points, cost.value)} for cost in _COSTS]
    heads = ("run", "perplexity", "weights kept", "time of pruning", "peak memory", "not beaten by")
    rows = tuple(
        Row(
            (
                RunLink(one.run, one.label, one.run == runs.marked),
                number(one.perplexity),
                *(cost.said(one) for cost in _COSTS),
                ", ".join(
                    word
                    for word, best in zip(("size", "time", "memory"), fronts, strict=True)
                    if one.run in best
                ),
            )
        )
        for one in points
    )
    return Table("Perplexity and what it costs", heads, rows, "tnnnnt")


def sheet(runs: RunSet) -> Sheet:
    heads = ("run", "job", "perplexity", "sparsity", "prune_seconds", "peak_rss_bytes")
    rows = tuple(
        (one.run, one.label, one.perplexity, one.sparsity, one.seconds, one.memory) for one in _points(runs)
    )
    return Sheet(heads, rows)


CHART = Chart(
    name="pareto",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    place=34,
    of_study=True,
)


def _points(runs: RunSet) -> list[Point]:
    return points_of(sweep_of(runs.shown, runs.others))


def _front_line(best: list[Point], cost: _Cost, dark: bool) -> go.Scatter:
    return go.Scatter(
        uid=f"front {cost.title}",
        x=[cost.value(one) for one in best],
        y=[one.perplexity for one in best],
        mode="lines",
        line={"color": colour("edge", dark), "width": 1.5, "shape": "hv"},
        hoverinfo="skip",
        showlegend=False,
    )


def _marks(points: list[Point], cost: _Cost, shown: str, dark: bool) -> go.Scatter:
    series = list(dict.fromkeys(one.series for one in points))
    shades = [colour(f"mark-{series.index(one.series) % 8 + 1}", dark) for one in points]
    return go.Scatter(
        uid=cost.title,
        x=[cost.value(one) for one in points],
        y=[one.perplexity for one in points],
        mode="markers",
        marker={
            "color": shades,
            "size": [13 if one.run == shown else 9 for one in points],
            "line": {"width": 1, "color": colour("surface", dark)},
        },
        text=[one.label for one in points],
        customdata=[(number(one.perplexity), cost.said(one)) for one in points],
        hovertemplate=_HOVER,
        showlegend=False,
    )


def _laid_out(plot: go.Figure, revision: str, dark: bool) -> go.Figure:
    axis = thin_axis(dark) | {"nticks": 6}
    plot.update_layout(
        **ground(dark),
        uirevision=revision,
        height=220 * len(_COSTS),
        margin={"l": 62, "r": 8, "t": 12, "b": 46},
    )
    plot.update_xaxes(**axis).update_yaxes(**axis, type="log", title={"text": "perplexity (log)"})
    for row, cost in enumerate(_COSTS, start=1):
        plot.update_xaxes(title={"text": cost.title, "standoff": 6}, row=row, col=1)
    return plot
