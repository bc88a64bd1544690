"""What a sweep's runs cost and what they give: perplexity against time and memory, the Pareto front drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from apt_core.base.words import DASH, duration, number, percent, size
from apt_core.events.records import RunRecord
from apt_core.plots.chart import Chart, Row, RunLink, RunSet, Sheet, Table
from apt_core.plots.look import LEGEND_ABOVE, ground, thin_axis
from apt_core.plots.palette import colour
from apt_core.studies.curve import Point, front, points_of, sweep_of
from apt_core.studies.names import names_of
from apt_core.studies.rounded import Reference, on_their_way, references
from apt_core.studies.rounding import alike, comparable

_FEWEST = 3  # two runs are compared without a front, unless rounded models stand beside them
_ALONE = 320  # pixels of a panel that is the only one
_DIAMONDS = "Diamonds are the dense model and what was rounded to nearest, bits and scales counted."
_HOVER = "<b>%{text}</b><br>perplexity %{customdata[0]}, %{customdata[1]}<extra></extra>"


class _Cost(NamedTuple):
    """An axis of the chart: what a run costs, as a number that is drawn and as words."""

    title: str
    value: Callable[[Point], float]
    said: Callable[[Point], str]


# Where bytes were not counted, sparsity stands for size: what a packed file takes falls with every weight that goes.
_COSTS = (
    _Cost("weights kept, %", lambda one: 100 * (1 - one.sparsity), lambda one: percent(1 - one.sparsity)),
    _Cost("seconds of pruning", lambda one: one.seconds, lambda one: duration(one.seconds)),
    _Cost("peak memory, GB", lambda one: one.memory / 1e9, lambda one: size(one.memory)),
)
_PACKED = _Cost("packed size, MB", lambda one: (one.packed or 0) / 1e6, lambda one: size(one.packed))
_WORDS = {_PACKED.title: "bytes"} | dict(
    zip((cost.title for cost in _COSTS), ("size", "time", "memory"), strict=True)
)


def applies(runs: RunSet) -> bool:
    points = _points(runs)
    return len(points) >= _FEWEST or (bool(points) and _stands_beside_rounding(runs))


def looks(runs: RunSet) -> object:
    measured = [(point.run, point.perplexity) for point in _points(runs)]
    return measured, _references(runs), len(awaited(runs))


def awaited(runs: RunSet) -> tuple[RunRecord, ...]:
    """The runs that measure rounded models for it."""
    return on_their_way(_finished(runs), runs.others) if _PACKED in _costs(_points(runs)) else ()


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    """One panel for each cost, below one another so that a narrow screen keeps its width."""
    points = _points(runs)
    costs, beside = _costs(points), _references(runs)
    plot = make_subplots(rows=len(costs), cols=1, vertical_spacing=0.33 / len(costs))
    for row, cost in enumerate(costs, start=1):
        plot.add_trace(_front_line(front(points, cost.value), cost, dark), row=row, col=1)
        for marks in _marks(points, cost, runs.marked, dark, named=row == 1):
            plot.add_trace(marks, row=row, col=1)
        if cost is _PACKED and beside:
            plot.add_trace(_reference_marks(beside, dark), row=row, col=1)
    return _laid_out(plot, costs, runs.shown.study or runs.shown.id, dark)


def title(runs: RunSet) -> str:
    """The run that is on every front, where there is exactly one; a plain name otherwise."""
    points = _points(runs)
    if len(points) < _FEWEST:
        return "Pruning beside rounding"
    fronts = [{one.run for one in front(points, cost.value)} for cost in _costs(points)]
    always = [one for one in points if all(one.run in best for best in fronts)]
    if len(always) == 1 and all(len(best) == 1 for best in fronts):
        return f"{always[0].label} is better in everything"
    return "Quality against savings"


def summary(runs: RunSet) -> str:
    """The fronts in words."""
    points = _points(runs)
    said = [
        f"by {cost.title}: "
        + ", ".join(
            f"{one.label} ({cost.said(one)}, perplexity {number(one.perplexity)})"
            for one in front(points, cost.value)
        )
        for cost in _costs(points)
    ]
    beside = [
        f"{one.label} ({size(one.n_bytes)}, perplexity {number(one.perplexity)})" for one in _references(runs)
    ]
    more = f" For reference: {', '.join(beside)}." if beside else ""
    lead = "Runs that no other run beats in both" if len(points) > 1 else "What was pruned"
    return f"{lead}, {'; '.join(said)}.{more}"


def note(runs: RunSet) -> str:
    points = _points(runs)
    if len(points) < _FEWEST:
        return _of_rounding(runs)
    said = (
        "The line joins the runs that no other beats in both perplexity and cost. Seconds and memory are those of "
        "pruning, as measured in these runs."
    )
    return f"{said} {_of_rounding(runs)}" if _PACKED in _costs(points) else said


def table(runs: RunSet) -> Table:
    points = _points(runs)
    fronts = {cost: {one.run for one in front(points, cost.value)} for cost in _costs(points)}
    heads = (
        *("run", "perplexity", "packed size", "weights kept"),
        *("time of pruning", "peak memory", "not beaten by"),
    )
    rows = tuple(
        Row(
            (
                RunLink(one.run, one.label, one.run == runs.marked),
                number(one.perplexity),
                *(cost.said(one) for cost in (_PACKED, *_COSTS)),
                ", ".join(_WORDS[cost.title] for cost, best in fronts.items() if one.run in best),
            )
        )
        for one in points
    )
    return Table(
        "Perplexity and what it costs", heads, (*rows, *map(_reference_row, _references(runs))), "tnnnnnt"
    )


def sheet(runs: RunSet) -> Sheet:
    heads = ("run", "job", "perplexity", "sparsity", "prune_seconds", "peak_rss_bytes", "bytes")
    rows = tuple(
        (one.run, one.label, one.perplexity, one.sparsity, one.seconds, one.memory, one.packed)
        for one in _points(runs)
    )
    beside = (
        (one.run, one.label, one.perplexity, None, None, None, one.n_bytes) for one in _references(runs)
    )
    return Sheet(heads, (*rows, *beside))


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
    awaited=awaited,
    views=("others",),
    place=34,
    of_study=True,
)


def _points(runs: RunSet) -> list[Point]:
    """Each by a name of its own."""
    found = _finished(runs)
    names = names_of(found)
    return [point._replace(label=names[point.run]) for point in points_of(found)]


def _finished(runs: RunSet) -> list[RunRecord]:
    """Of the sweep those that can be drawn; of a run of no study itself. Of runs that somebody compares all or none: of
    several models or other windows their figures say nothing together."""
    if runs.compare:
        found = [run for run in runs.members if comparable(run)]
        return found if alike(found) else []
    return [run for run in sweep_of(runs.shown, runs.others) or (runs.shown,) if comparable(run)]


def _costs(points: list[Point]) -> tuple[_Cost, ...]:
    """Bytes come first, once they are known of all; alone, where there are too few runs for a front."""
    if all(one.packed is not None for one in points):
        return (_PACKED, *_COSTS) if len(points) >= _FEWEST else (_PACKED,)
    return _COSTS


def _references(runs: RunSet) -> list[Reference]:
    """What stands beside the runs on the axis of bytes; nothing where there is none."""
    if _PACKED not in _costs(_points(runs)):
        return []
    return references(_finished(runs), runs.members if runs.compare else runs.others)


def _stands_beside_rounding(runs: RunSet) -> bool:
    """Whether a rounded model is measured, or about to be."""
    return any(one.bits for one in _references(runs)) or bool(awaited(runs))


def _of_rounding(runs: RunSet) -> str:
    """What the diamonds are, or how to get them."""
    if more := len(awaited(runs)):
        return f"{_DIAMONDS} {more} more {'is' if more == 1 else 'are'} being measured."
    if any(one.bits for one in _references(runs)):
        return _DIAMONDS
    if runs.compare:
        return "The diamond is the dense model; rounded models stand beside it where they are compared too."
    return (
        "The diamond is the dense model; to see what rounding would give for the same bytes, press Compare with "
        "rounding (on the command line: rounded, or evaluate --rounding-bits 8 on the same text and windows)."
    )


def _reference_row(one: Reference) -> Row:
    said = (number(one.perplexity), size(one.n_bytes), DASH, DASH, DASH, "for reference")
    return Row((RunLink(one.run, one.label), *said))


def _reference_marks(beside: list[Reference], dark: bool) -> go.Scatter:
    return go.Scatter(
        uid="references",
        x=[one.n_bytes / 1e6 for one in beside],
        y=[one.perplexity for one in beside],
        mode="markers+text",
        marker={"symbol": "diamond-open", "size": 10, "color": colour("muted", dark), "line": {"width": 2}},
        text=[one.label for one in beside],
        textposition=_apart([one.n_bytes for one in beside]),
        textfont={"color": colour("muted", dark), "size": 12},
        cliponaxis=False,
        customdata=[(number(one.perplexity), size(one.n_bytes)) for one in beside],
        hovertemplate=_HOVER,
        showlegend=False,
    )


def _apart(sizes: list[int]) -> list[str]:
    """Where each name stands, so that neighbours do not meet: above and below in turns, and towards the middle."""
    order, middle = sorted(sizes), (min(sizes) + max(sizes)) / 2
    return [
        f"{'bottom' if order.index(size) % 2 else 'top'} {'right' if size < middle else 'left'}"
        for size in sizes
    ]


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


def _marks(points: list[Point], cost: _Cost, shown: str, dark: bool, named: bool) -> Iterator[go.Scatter]:
    """The runs of each series in a colour. named: whether the legend names them here."""
    for place, series in enumerate(dict.fromkeys(one.series for one in points)):
        own = [one for one in points if one.series == series]
        yield go.Scatter(
            uid=f"{cost.title} {series}",
            name=series,
            legendgroup=series,
            showlegend=named,
            x=[cost.value(one) for one in own],
            y=[one.perplexity for one in own],
            mode="markers",
            marker={
                "color": colour(f"mark-{place % 8 + 1}", dark),
                "size": [13 if one.run == shown else 9 for one in own],
                "line": {"width": 1, "color": colour("surface", dark)},
            },
            text=[one.label for one in own],
            customdata=[(number(one.perplexity), cost.said(one)) for one in own],
            hovertemplate=_HOVER,
        )


def _laid_out(plot: go.Figure, costs: tuple[_Cost, ...], revision: str, dark: bool) -> go.Figure:
    axis = thin_axis(dark) | {"nticks": 6}
    plot.update_layout(
        **ground(dark),
        uirevision=revision,
        height=220 * len(costs) if len(costs) > 1 else _ALONE,
        margin={"l": 62, "r": 8, "t": 44, "b": 46},
        legend=LEGEND_ABOVE,
    )
    plot.update_xaxes(**axis).update_yaxes(**axis, type="log", title={"text": "perplexity (log)"})
    for row, cost in enumerate(costs, start=1):
        plot.update_xaxes(title={"text": cost.title, "standoff": 6}, rangemode="nonnegative", row=row, col=1)
    return plot
