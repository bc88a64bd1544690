"""Dense against pruned perplexity: two bars, the ratio in plain words between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from apt_core.base.words import DASH, number, times
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.plots.palette import FONT, colour

_SIDES = ("dense", "pruned")


def figure(record: RunRecord, dark: bool = False, references: Sequence[RunRecord] = ()) -> go.Figure:
    """A side that is not measured yet has its name and a dash, and no bar.

    references: finished runs of other methods, asked for the same; they are faint ticks on the pruned bar.
    """
    values = [_perplexity(record, side) for side in _SIDES]
    known = [
        value
        for value in (*values, *(_perplexity(other, "pruned") for other in references))
        if value is not None
    ]
    reach = max(known, default=1.0)
    plot = go.Figure(
        go.Bar(
            x=values,
            y=list(_SIDES),
            orientation="h",
            width=0.5,
            marker={"color": [colour(side, dark) for side in _SIDES]},
            hovertemplate="%{y}: perplexity %{x:.4g}<extra></extra>",
        )
    )
    if references:
        plot.add_trace(_ticks(references, dark))
    plot.update_layout(
        uirevision=record.id,
        height=190,
        margin={"l": 62, "r": 8, "t": 4, "b": 34},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 13, "color": colour("muted", dark)},
        showlegend=False,
        bargap=0.2,
        xaxis={
            "range": [0, reach * 1.35],
            "gridcolor": colour("line", dark),
            "zeroline": False,
            "fixedrange": True,
            "nticks": 5,
        },
        yaxis={
            "autorange": "reversed",
            "fixedrange": True,
            "tickfont": {"size": 15, "color": colour("ink", dark)},
            "ticks": "outside",
            "ticklen": 6,
            "tickcolor": "rgba(0,0,0,0)",
        },
        annotations=[_label(side, value, dark) for side, value in zip(_SIDES, values, strict=True)]
        + [_between(record, dark)],
    )
    return plot


def title(record: RunRecord) -> str:
    if record.ratio is None:
        return "Perplexity, dense and pruned"
    if record.ratio < 1.005:
        return "The pruned perplexity did not rise"
    return f"The pruned perplexity is {number(record.ratio)} times the dense one"


def summary(record: RunRecord) -> str:
    """Both numbers and how they were measured."""
    measured = record.dense or record.pruned
    if measured is None:
        return "Perplexity is measured before and after pruning; lower is better."
    both = f"Dense {number(_perplexity(record, 'dense'))}, pruned {number(_perplexity(record, 'pruned'))}"
    ratio = f", ratio {number(record.ratio)}" if record.ratio is not None else ""
    how = f"{measured.windows} windows of {measured.length} tokens that do not overlap"
    return f"{both}{ratio}; lower is better. Measured on {how}."


def comparable(record: RunRecord, others: Iterable[RunRecord]) -> list[RunRecord]:
    """The newest finished run of every other method that was asked for the same: same model, same pattern,
    same evaluation, same dense perplexity (so the same text and windows)."""
    found: dict[str, RunRecord] = {}
    if not isinstance(record.job, Prune):
        return []
    for other in others:
        if not isinstance(other.job, Prune):
            continue
        name = other.job.method.name
        if other.ratio is not None and name != record.job.method.name and _alike(record, other):
            found.setdefault(name, other)
    return sorted(found.values(), key=lambda other: other.pruned.perplexity)


def _alike(record: RunRecord, other: RunRecord) -> bool:
    asked = [(run.job.model, run.job.pattern, run.job.evaluation) for run in (record, other)]
    near = record.dense and other.dense and abs(other.dense.perplexity / record.dense.perplexity - 1) < 1e-3
    return bool(near) and asked[0] == asked[1]


def _ticks(references: Sequence[RunRecord], dark: bool) -> go.Scatter:
    shade = colour("muted", dark)
    return go.Scatter(
        x=[other.pruned.perplexity for other in references],
        y=["pruned"] * len(references),
        mode="markers",
        marker={"symbol": "line-ns", "size": 34, "line": {"color": shade, "width": 2}, "color": shade},
        customdata=[other.job.method.label for other in references],
        hovertemplate="%{customdata}: perplexity %{x:.4g}<extra></extra>",
    )


def _perplexity(record: RunRecord, side: str) -> float | None:
    evaluated = getattr(record, side)
    return evaluated.perplexity if evaluated else None


def _label(side: str, value: float | None, dark: bool) -> dict:
    """The number at the end of its bar, in the colour of its side."""
    return {
        "x": value or 0,
        "y": side,
        "text": f"<b>{number(value)}</b>" if value is not None else DASH,
        "showarrow": False,
        "xanchor": "left",
        "xshift": 8,
        "font": {"size": 18, "color": colour(side, dark)},
    }


def _between(record: RunRecord, dark: bool) -> dict:
    """The ratio, halfway between the bars."""
    return {
        "x": 0,
        "y": 0.5,
        "yref": "paper",
        "text": f"{times(record.ratio)} the dense perplexity" if record.ratio is not None else "",
        "showarrow": False,
        "xanchor": "left",
        "xshift": 8,
        "font": {"size": 13, "color": colour("muted", dark)},
    }
