"""Perplexity against sparsity: one line for every method of a sweep, the dense level, the knee of each line."""

from __future__ import annotations

import plotly.graph_objects as go

from apt_core.base.words import DASH, number, percent, times
from apt_core.events.records import RunRecord
from apt_core.plots.chart import Chart, Row, RunLink, RunSet, Sheet, Table
from apt_core.plots.look import LEGEND_ABOVE, ground, thin_axis
from apt_core.plots.palette import colour
from apt_core.studies.curve import Knee, Point, curves, knee, points_of, sweep_of

_HOVER = "<b>%{fullData.name}</b><br>%{x:.1%} removed: perplexity %{customdata}<extra></extra>"
_RULE = (
    "A knee (ring) is the point farthest below the straight line from the dense model to the line's last point, with "
    "perplexity on a logarithmic scale: behind it each further percent costs more than before."
)


def applies(runs: RunSet) -> bool:
    """Where at least two sparsities of one study were measured."""
    return len({point.sparsity for point in _points(runs)}) > 1 and _dense(runs) is not None


def looks(runs: RunSet) -> object:
    return [(point.run, point.perplexity) for point in _points(runs)]


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    points, dense = _points(runs), _dense(runs) or 1.0
    plot = go.Figure()
    for place, (series, curve) in enumerate(curves(points).items()):
        shade = colour(f"mark-{place % 8 + 1}", dark)
        plot.add_trace(_line(series, curve, shade))
        if found := knee(dense, curve):
            plot.add_trace(_ring(series, found, shade))
    plot.add_trace(_dense_line(dense, max(point.sparsity for point in points), dark))
    return plot.update_layout(**_layout(runs.shown.study, dark))


def title(runs: RunSet) -> str:
    """Where the one line bends; a plain name where none does, or several."""
    dense, found = _dense(runs) or 1.0, _knees(runs)
    if len(found) == 1:
        ((series, one),) = found.items()
        cost = times(one.point.perplexity / dense)
        return f"{series} bends at {percent(one.point.sparsity)}, where perplexity is {cost} the dense one"
    return "Perplexity against sparsity"


def summary(runs: RunSet) -> str:
    """Every line in words."""
    said = [f"Dense {number(_dense(runs))}."]
    for series, curve in curves(_points(runs)).items():
        steps = ", ".join(f"{number(one.perplexity)} at {percent(one.sparsity)}" for one in curve)
        said.append(f"{series}: {steps}.")
    said += [f"Knee of {series} at {percent(one.point.sparsity)}." for series, one in _knees(runs).items()]
    return " ".join(said)


def note(runs: RunSet) -> str:
    return _RULE if _knees(runs) else ""


def table(runs: RunSet) -> Table:
    dense, knees = _dense(runs), {one.point.run for one in _knees(runs).values()}
    heads = ("method", "sparsity", "perplexity", "ratio to dense", "knee")
    rows = tuple(
        Row(
            (
                RunLink(point.run, point.series, point.run == runs.marked),
                percent(point.sparsity),
                number(point.perplexity),
                times(point.perplexity / dense if dense else None),
                "knee" if point.run in knees else DASH,
            )
        )
        for point in _points(runs)
    )
    return Table("Perplexity against sparsity", heads, rows, "tnnnt")


def sheet(runs: RunSet) -> Sheet:
    heads = ("run", "series", "sparsity", "perplexity", "dense_perplexity")
    dense = _dense(runs)
    return Sheet(
        heads,
        tuple((one.run, one.series, one.sparsity, one.perplexity, dense) for one in _points(runs)),
    )


def rivals(runs: RunSet) -> tuple[RunRecord, ...]:
    """Those that can still add a point."""
    members = sweep_of(runs.shown, runs.others)
    return tuple(member for member in members if member.live and member.id != runs.shown.id)


CHART = Chart(
    name="sparsity",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    views=("others",),
    place=32,
    of_study=True,
)


def _points(runs: RunSet) -> list[Point]:
    return points_of(sweep_of(runs.shown, runs.others))


def _dense(runs: RunSet) -> float | None:
    """That of the first run that measured it."""
    found = (member.dense for member in sweep_of(runs.shown, runs.others))
    return next((one.perplexity for one in found if one), None)


def _knees(runs: RunSet) -> dict[str, Knee]:
    dense = _dense(runs) or 1.0
    found = {series: knee(dense, curve) for series, curve in curves(_points(runs)).items()}
    return {series: one for series, one in found.items() if one}


def _line(series: str, curve: list[Point], shade: str) -> go.Scatter:
    return go.Scatter(
        uid=series,
        name=series,
        x=[point.sparsity for point in curve],
        y=[point.perplexity for point in curve],
        mode="lines+markers",
        line={"color": shade, "width": 2},
        marker={"color": shade, "size": 8},
        customdata=[number(point.perplexity) for point in curve],
        hovertemplate=_HOVER,
    )


def _dense_line(dense: float, last: float, dark: bool) -> go.Scatter:
    return go.Scatter(
        uid="dense",
        name=f"dense {number(dense)}",
        x=[0, last],
        y=[dense, dense],
        mode="lines",
        line={"color": colour("dense", dark), "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )


def _ring(series: str, found: Knee, shade: str) -> go.Scatter:
    return go.Scatter(
        uid=f"{series} knee",
        name=f"{series}, knee",
        x=[found.point.sparsity],
        y=[found.point.perplexity],
        mode="markers",
        marker={"color": shade, "size": 18, "symbol": "circle-open", "line": {"width": 2, "color": shade}},
        hoverinfo="skip",
        showlegend=False,
    )


def _layout(revision: str, dark: bool) -> dict:
    axis = thin_axis(dark)
    return {
        "uirevision": revision,
        "height": 360,
        "margin": {"l": 62, "r": 8, "t": 34, "b": 46},
        **ground(dark),
        "legend": LEGEND_ABOVE,
        "xaxis": axis | {"title": {"text": "sparsity"}, "tickformat": ".0%", "rangemode": "tozero"},
        "yaxis": axis | {"title": {"text": "perplexity (log scale)"}, "type": "log", "nticks": 6},
        "showlegend": True,
    }
