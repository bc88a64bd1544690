"""What the run took: the memory of its worker over time, and how many cores it kept busy."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import Any, NamedTuple

import plotly.graph_objects as go

from apt_core.base.words import DASH, duration, number, size
from apt_core.events import Used
from apt_core.plots.chart import Chart, Row, RunSet, Sheet, Table
from apt_core.plots.look import LEGEND_ABOVE, ground, thin_axis
from apt_core.plots.palette import colour

_HOVER = "%{customdata}<extra></extra>"
_ROWS = 20  # of the table; the sheet has all


class _Moment(NamedTuple):
    used: Used
    cores: float | None  # busy since the moment before


def applies(runs: RunSet) -> bool:
    return len(runs.shown.used) > 1


def looks(runs: RunSet) -> object:
    return len(runs.shown.used)


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    moments = _moments(runs)
    seconds = [moment.used.seconds for moment in moments]
    said = [_said(moment) for moment in moments]
    plot = go.Figure()
    plot.add_trace(
        go.Scatter(
            uid="memory",
            name="memory",
            x=seconds,
            y=[moment.used.rss_bytes / 1e9 for moment in moments],
            mode="lines",
            fill="tozeroy",
            line={"color": colour("mark-1", dark), "width": 2},
            customdata=said,
            hovertemplate=_HOVER,
        )
    )
    if any(moment.used.gpu_bytes for moment in moments):
        plot.add_trace(
            go.Scatter(
                uid="gpu",
                name="GPU memory",
                x=seconds,
                y=[moment.used.gpu_bytes / 1e9 for moment in moments],
                mode="lines",
                line={"color": colour("mark-3", dark), "width": 2},
                customdata=said,
                hovertemplate=_HOVER,
            )
        )
    plot.add_trace(
        go.Scatter(
            uid="cores",
            name="cores busy",
            x=seconds,
            y=[moment.cores for moment in moments],
            yaxis="y2",
            mode="lines",
            line={"color": colour("mark-2", dark), "width": 1.5, "dash": "dot"},
            customdata=said,
            hovertemplate=_HOVER,
        )
    )
    most = ceil(max((moment.cores or 0.0 for moment in moments), default=1.0)) or 1
    return plot.update_layout(**_layout(runs.shown.id, most, dark))


def title(runs: RunSet) -> str:
    """'Peak memory 1.2 GB'. Once a run has ended the operating system knows it better than notes in between."""
    finished = runs.shown.finished
    noted = max(used.rss_bytes for used in runs.shown.used)
    return f"Peak memory {size(max(noted, finished.peak_rss_bytes or 0) if finished else noted)}"


def summary(runs: RunSet) -> str:
    last = runs.shown.used[-1]
    busy = last.cpu_seconds / last.seconds if last.seconds else 0.0
    took = f"In {duration(last.seconds)} it took {duration(last.cpu_seconds)} of processor time"
    return f"{title(runs)}. {took}, {number(busy)} cores on average."


def note(runs: RunSet) -> str:
    return "Noted between two events, at intervals that grow with the run: a short peak can fall between two notes."


def table(runs: RunSet) -> Table:
    moments = _moments(runs)
    every = -(-len(moments) // _ROWS)
    chosen = moments[::every] if moments[::every][-1] is moments[-1] else [*moments[::every], moments[-1]]
    rows = tuple(
        Row(
            (
                duration(moment.used.seconds),
                size(moment.used.rss_bytes),
                size(moment.used.gpu_bytes) if moment.used.gpu_bytes else DASH,
                DASH if moment.cores is None else number(moment.cores),
            )
        )
        for moment in chosen
    )
    return Table("What the run took", ("after", "memory", "GPU memory", "cores busy"), rows, "nnnn")


def sheet(runs: RunSet) -> Sheet:
    heads = ("seconds", "rss_bytes", "gpu_bytes", "cpu_seconds")
    rows = tuple((one.seconds, one.rss_bytes, one.gpu_bytes, one.cpu_seconds) for one in runs.shown.used)
    return Sheet(heads, rows)


CHART = Chart(
    name="resources",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    views=("size",),
    place=60,
)


def _moments(runs: RunSet) -> list[_Moment]:
    used = runs.shown.used
    return [_Moment(used[0], None), *(_Moment(now, _cores(before, now)) for before, now in pairwise(used))]


def _cores(before: Used, now: Used) -> float | None:
    passed = now.seconds - before.seconds
    return max(now.cpu_seconds - before.cpu_seconds, 0.0) / passed if passed > 0 else None


def _layout(revision: str, cores: int, dark: bool) -> dict[str, Any]:
    axis = thin_axis(dark) | {"rangemode": "tozero"}
    return {
        "uirevision": revision,
        "height": 260,
        "margin": {"l": 62, "r": 52, "t": 34, "b": 46},
        **ground(dark),
        "legend": LEGEND_ABOVE,
        "xaxis": axis | {"title": {"text": "seconds since the job began"}},
        "yaxis": axis | {"title": {"text": "GB of memory"}, "nticks": 5},
        "yaxis2": axis
        | {
            "title": {"text": "cores"},
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "range": [0, 1.05 * cores],
            "tickvals": [0, cores / 2, cores],
        },
        "showlegend": True,
    }


def _said(moment: _Moment) -> str:
    gpu = f", {size(moment.used.gpu_bytes)} of the GPU" if moment.used.gpu_bytes else ""
    cores = "" if moment.cores is None else f", {number(moment.cores)} cores busy"
    return f"after {duration(moment.used.seconds)}: {size(moment.used.rss_bytes)}{gpu}{cores}"
