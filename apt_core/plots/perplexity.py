"""Dense against pruned perplexity: two bars, the ratio in plain words between them."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from apt_core.base.words import DASH, duration, file_title, number, times
from apt_core.events import Evaluated
from apt_core.events.records import RunRecord
from apt_core.plots.chart import Chart, Row, RunLink, RunSet, Sheet, Table
from apt_core.plots.look import CLEAR, ground
from apt_core.plots.palette import colour
from apt_core.studies.comparable import comparable

_SIDES = ("dense", "pruned")
_OTHERS = "others"


def applies(runs: RunSet) -> bool:
    """Also before anything is measured: a dash on each side says that something will be."""
    return "pruned" in runs.shown.job.subjects


def looks(runs: RunSet) -> object:
    """A side is measured, or a comparable run has finished since."""
    measured = [_perplexity(runs.shown, side) for side in _SIDES]
    return *measured, *((other.id, other.last_seq) for other in references(runs))


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    """A side that is not measured yet has its name and a dash, and no bar.

    Comparable runs of other methods are ticks in a row of their own, the best of them named.
    """
    record, others = runs.shown, references(runs)
    values = [_perplexity(record, side) for side in _SIDES]
    known = [*values, *(_perplexity(other, "pruned") for other in others)]
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
    if others:
        plot.add_trace(_ticks(others, dark))
    annotations = [_label(side, value, dark) for side, value in zip(_SIDES, values, strict=True)]
    reach = max((value for value in known if value is not None), default=1.0)
    annotations.append(_between(record, bool(others), dark))
    annotations += [_best(others[0], dark)] if others else []
    return plot.update_layout(
        **_layout(reach, dark, rows=3 if others else 2), uirevision=record.id, annotations=annotations
    )


def _layout(reach: float, dark: bool, rows: int) -> dict:
    return {
        "height": 190 if rows == 2 else 240,
        "margin": {"l": 62, "r": 8, "t": 4, "b": 34},
        **ground(dark),
        "showlegend": False,
        "bargap": 0.2,
        "xaxis": {
            "range": [0, reach * 1.35],
            "gridcolor": colour("line", dark),
            "zeroline": False,
            "fixedrange": True,
            "nticks": 5,
        },
        "yaxis": {
            "autorange": "reversed",
            "fixedrange": True,
            "tickfont": {"size": 15, "color": colour("ink", dark)},
            "ticks": "outside",
            "ticklen": 6,
            "tickcolor": CLEAR,
        },
    }


def title(runs: RunSet) -> str:
    record = runs.shown
    if record.ratio is None:
        return "Perplexity, dense and pruned"
    if record.ratio < 1.005:
        return "The pruned perplexity did not rise"
    return f"The pruned perplexity is {number(record.ratio)} times the dense one"


def summary(runs: RunSet) -> str:
    """Both numbers and how they were measured."""
    record = runs.shown
    measured = record.dense or record.pruned
    if measured is None:
        return "Perplexity is measured before and after pruning; lower is better."
    both = f"Dense {number(_perplexity(record, 'dense'))}, pruned {number(_perplexity(record, 'pruned'))}"
    ratio = f", ratio {number(record.ratio)}" if record.ratio is not None else ""
    how = f"{measured.windows} windows of {measured.length} tokens that do not overlap"
    return f"{both}{ratio}; lower is better. Measured on {how}.{_others_said(references(runs))}"


def table(runs: RunSet) -> Table:
    """Both sides, and the pruned side of comparable runs of other methods."""
    record = runs.shown
    sides: list[tuple[str | RunLink, Evaluated | None]] = [("dense", record.dense), ("pruned", record.pruned)]
    sides += [
        (RunLink(other.id, f"pruned by {other.pruning.method.label}"), other.pruned)
        for other in references(runs)
    ]
    heads = ("model", "perplexity", "windows", "tokens each", "predicted tokens", "time")
    protocol = record.dense.protocol if record.dense else "measured before and after pruning"
    rows = tuple(Row((side, *_cells(measured))) for side, measured in sides)
    return Table(f"Perplexity, protocol {protocol}", heads, rows, "tnnnnn")


def sheet(runs: RunSet) -> Sheet:
    heads = (
        "side",
        "perplexity",
        "low",
        "high",
        "windows",
        "length",
        "tokens",
        "text",
        "protocol",
        "seconds",
    )
    rows = tuple(
        (
            *(name, side.perplexity, side.low, side.high, side.windows, side.length, side.tokens),
            *(file_title(side.text), side.protocol, side.seconds),
        )
        for name in _SIDES
        if (side := getattr(runs.shown, name))
    )
    return Sheet(heads, rows)


def references(runs: RunSet) -> list[RunRecord]:
    """The newest run of every other method whose perplexity compares with that of the run shown, the best first.

    They read the same calibration text, as much of it: more of it makes every method better.
    """
    record = runs.shown
    found: dict[str, tuple[float, RunRecord]] = {}
    for other in runs.others if record.pruned else ():
        if other.pruned and comparable(record, other) and _same_calibration(record, other):
            found.setdefault(other.pruning.method.name, (other.pruned.perplexity, other))
    if found:
        found.pop(record.pruning.method.name, None)
    return [other for _, other in sorted(found.values(), key=lambda pair: pair[0])]


CHART = Chart(
    name="perplexity",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    views=("overview",),
    place=10,
)


def _others_said(others: Sequence[RunRecord]) -> str:
    """' Other methods on the same text: Wanda 44.0.', the best first: what each tick is."""
    said = [f"{other.pruning.method.label} {number(_perplexity(other, 'pruned'))}" for other in others]
    return f" Other methods on the same text: {', '.join(said)}." if said else ""


def _cells(measured: Evaluated | None) -> tuple[str, ...]:
    if measured is None:
        return (DASH,) * 5
    seconds = duration(measured.seconds) + (" (measured once, reused)" if measured.reused else "")
    return (
        *(number(measured.perplexity), str(measured.windows), str(measured.length)),
        *(f"{measured.tokens:,}", seconds),
    )


def _ticks(others: Sequence[RunRecord], dark: bool) -> go.Scatter:
    shade = colour("muted", dark)
    return go.Scatter(
        x=[_perplexity(other, "pruned") for other in others],
        y=[_OTHERS] * len(others),
        mode="markers",
        marker={"symbol": "line-ns", "size": 18, "line": {"color": shade, "width": 2}, "color": shade},
        customdata=[other.pruning.method.label for other in others],
        hovertemplate="%{customdata}: perplexity %{x:.4g}<extra></extra>",
    )


def _same_calibration(record: RunRecord, other: RunRecord) -> bool:
    return record.pruning.calibration == other.pruning.calibration


def _best(other: RunRecord, dark: bool) -> dict:
    """The name and number of the best of the other methods, beside its tick."""
    return {
        "x": _perplexity(other, "pruned"),
        "y": _OTHERS,
        "text": f"{other.pruning.method.label} {number(_perplexity(other, 'pruned'))}",
        "showarrow": False,
        "xanchor": "left",
        "yshift": 20,
        "xshift": -4,
        "font": {"size": 13, "color": colour("muted", dark)},
    }


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


def _between(record: RunRecord, with_others: bool, dark: bool) -> dict:
    """The ratio, halfway between the bars."""
    return {
        "x": 0,
        "y": 2 / 3 if with_others else 0.5,
        "yref": "paper",
        "text": f"{times(record.ratio)} the dense perplexity" if record.ratio is not None else "",
        "showarrow": False,
        "xanchor": "left",
        "xshift": 8,
        "font": {"size": 13, "color": colour("muted", dark)},
    }
