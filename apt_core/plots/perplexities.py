"""Perplexity of several runs on every text, with 95% intervals: one bar for each run, the dense model as a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from apt_core.base.words import DASH, file_title, number
from apt_core.events import Evaluated
from apt_core.events.records import RunRecord
from apt_core.plots.chart import Chart, Row, RunLink, RunSet, Sheet, Table
from apt_core.plots.findings import SIGNIFICANT
from apt_core.plots.look import LEGEND_ABOVE, ground, hover_label
from apt_core.plots.palette import colour
from apt_core.studies.names import names_of
from apt_core.studies.paired import differs_surely, shared_losses
from apt_core.texts.titles import text_title

_ROW = 46  # pixels of a run: its name and its bar
_HEAD = 34  # of a text, above its runs
_WIDE = (
    20.0  # from this factor on bars from zero would hide the smaller ones, so points on a log axis are drawn
)
_TOKENS = {"pruned": "pruned", "model": "accent", "recovered": "accent"}
_HOVER = "<b>%{customdata[0]}</b><br>%{customdata[1]}: perplexity %{customdata[2]}<extra></extra>"


class Bar(NamedTuple):
    """One run on one text. y: downwards, in rows."""

    y: float
    run: RunRecord
    made: Evaluated
    dense: Evaluated | None


class Group(NamedTuple):
    """A text, and the runs that measured it in the order of the comparison."""

    text: str
    y: float
    bars: tuple[Bar, ...]


def applies(runs: RunSet) -> bool:
    return any(_made(run) for run in runs.members)


def looks(runs: RunSet) -> object:
    return [(run.id, len(run.evaluated)) for run in runs.members]


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    groups, names = list(_groups(runs)), names_of(runs.members)
    bars = [bar for group in groups for bar in group.bars]
    known = [one.perplexity for bar in bars for one in (bar.made, bar.dense) if one]
    log = max(known) / min(known) > _WIDE
    subjects = dict.fromkeys(bar.made.subject for bar in bars)
    plot = go.Figure([_of(subject, bars, names, log, dark) for subject in subjects])
    if any(bar.dense for bar in bars):
        plot.add_trace(_dense(bars, dark))
    annotations = [_text_above(group, dark) for group in groups]
    annotations += [_name_above(bar, names[bar.run.id], dark) for bar in bars]
    revision = "-".join(run.id for run in runs.members)
    return plot.update_layout(**_layout(groups, log, dark), uirevision=revision, annotations=annotations)


def title(runs: RunSet) -> str:
    """Which run is lowest, where paired t-tests tell it from every other run on every text (p < 0.01 after Bonferroni's
    correction); a plain name otherwise."""
    groups, names = list(_groups(runs)), names_of(runs.members)
    lowest = {_lowest(group) for group in groups if len(group.bars) > 1}
    if len(lowest) != 1 or None in lowest or any(run.live for run in runs.members):
        return "Perplexity of each run"
    (best,) = lowest
    values = [number(bar.made.perplexity) for group in groups for bar in group.bars if bar.run.id == best]
    where = f"on {text_title(groups[0].text)}" if len(groups) == 1 else f"on all {len(groups)} texts"
    return f"{names[best or '']} is lowest {where}: {', '.join(values)}"


def summary(runs: RunSet) -> str:
    """Every number in words."""
    names = names_of(runs.members)
    said = " ".join(_said(group, names) for group in _groups(runs))
    return f"{said} Lower is better. Intervals of 95% come from the differences between windows."


def note(runs: RunSet) -> str:
    return (
        "The intervals hold for each run alone. On the same windows two runs are compared far more sharply by their "
        "paired difference, window by window."
    )


def table(runs: RunSet) -> Table:
    names = names_of(runs.members)
    heads = ("text", "run", "dense", "perplexity", "95% interval", "ratio to dense", "windows", "tokens each")
    rows = tuple(
        Row(
            (
                text_title(group.text),
                RunLink(bar.run.id, names[bar.run.id]),
                number(bar.dense.perplexity) if bar.dense else DASH,
                *(number(bar.made.perplexity), _interval(bar.made), _ratio(bar)),
                *(str(bar.made.windows), str(bar.made.length)),
            )
        )
        for group in _groups(runs)
        for bar in group.bars
    )
    return Table("Perplexity of every run on every text", heads, rows, "ttnnnnnn")


def sheet(runs: RunSet) -> Sheet:
    heads = (
        *("run", "name", "text", "model", "perplexity", "low", "high"),
        *("windows", "length", "protocol"),
    )
    names = names_of(runs.members)
    rows = (
        (
            *(run.id, names[run.id], file_title(one.text), one.subject, one.perplexity, one.low, one.high),
            *(one.windows, one.length, one.protocol),
        )
        for run in runs.members
        for one in run.evaluated
    )
    return Sheet(heads, tuple(rows))


CHART = Chart(
    name="perplexities",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    place=10,
    of_run=False,
    of_set=True,
)


def _made(run: RunRecord) -> tuple[Evaluated, ...]:
    """The model that the run is about."""
    return run.evaluated_on(run.job.subjects[-1])


def _groups(runs: RunSet) -> Iterator[Group]:
    """The texts, each with the runs that measured it."""
    texts = dict.fromkeys(one.text for run in runs.members for one in _made(run))
    y = 0.0
    for text in texts:
        head, y = y, y + _HEAD / _ROW
        bars = []
        for run in runs.members:
            made = next((one for one in _made(run) if one.text == text), None)
            if made is None:
                continue
            dense = next((one for one in run.evaluated_on("dense") if one.text == text), None)
            bars.append(Bar(y + 0.62, run, made, dense))
            y += 1
        yield Group(text, head, tuple(bars))
        y += 0.4


def _lowest(group: Group) -> str | None:
    """The run whose perplexity on this text lies surely below all others, None where there is none."""
    best, *others = sorted(group.bars, key=lambda bar: bar.made.perplexity)
    for other in others:
        losses = shared_losses(best.run, other.run, group.text)
        if losses is None or not differs_surely(*losses, significance=SIGNIFICANT / len(others)):
            return None
    return best.run.id


def _of(
    subject: str, bars: Sequence[Bar], names: dict[str, str], log: bool, dark: bool
) -> go.Bar | go.Scatter:
    found = [bar for bar in bars if bar.made.subject == subject]
    shade = colour(_TOKENS.get(subject, "accent"), dark)
    shared: dict[str, Any] = {
        "name": "measured" if subject == "model" else subject,
        "x": [bar.made.perplexity for bar in found],
        "y": [bar.y for bar in found],
        "error_x": _whiskers(found, dark),
        "customdata": [
            [names[bar.run.id], text_title(bar.made.text), _with_interval(bar.made)] for bar in found
        ],
        "hovertemplate": _HOVER,
    }
    if log:
        return go.Scatter(**shared, mode="markers", marker={"color": shade, "size": 12})
    return go.Bar(**shared, orientation="h", width=0.36, marker={"color": shade})


def _whiskers(bars: Sequence[Bar], dark: bool) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [(bar.made.high or bar.made.perplexity) - bar.made.perplexity for bar in bars],
        "arrayminus": [bar.made.perplexity - (bar.made.low or bar.made.perplexity) for bar in bars],
        "color": colour("ink", dark),
        "thickness": 1.5,
        "width": 5,
    }


def _dense(bars: Sequence[Bar], dark: bool) -> go.Scatter:
    """A line through the rows of the runs that share a dense perplexity; broken where it changes."""
    x: list[float | None] = []
    y: list[float | None] = []
    before: tuple[str, str] | None = None
    for bar in bars:
        if bar.dense is None:
            continue
        now = (bar.dense.text, number(bar.dense.perplexity))
        if now != before and x:
            x, y = [*x, None], [*y, None]
        before = now
        x += [bar.dense.perplexity] * 2
        y += [bar.y - 0.5, bar.y + 0.3]
    return go.Scatter(
        name="dense",
        x=x,
        y=y,
        mode="lines",
        line={"color": colour("dense", dark), "width": 3},
        hovertemplate="dense: perplexity %{x:.4g}<extra></extra>",
    )


def _text_above(group: Group, dark: bool) -> dict[str, Any]:
    return _words(f"<b>{text_title(group.text)}</b>", group.y + 0.3, 15, colour("ink", dark))


def _name_above(bar: Bar, name: str, dark: bool) -> dict[str, Any]:
    """Name and number over the bar, so that a narrow screen keeps its width for the bars."""
    words = f"{name} · <b>{number(bar.made.perplexity)}</b>"
    behind = {"bgcolor": colour("page", dark), "borderpad": 1}  # the line of the dense model passes behind it
    return _words(words, bar.y - 0.38, 13, colour("ink", dark)) | behind


def _words(text: str, y: float, size: int, shade: str) -> dict[str, Any]:
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": y, "yref": "y", "yanchor": "middle"}
    return place | {"text": text, "showarrow": False, "font": {"size": size, "color": shade}}


def _layout(groups: Sequence[Group], log: bool, dark: bool) -> dict[str, Any]:
    rows = groups[-1].bars[-1].y + 0.5 if groups else 1.0
    return {
        "height": round(84 + _ROW * rows),
        "margin": {"l": 8, "r": 16, "t": 34, "b": 50},
        **ground(dark),
        "legend": LEGEND_ABOVE | {"y": 1},
        "showlegend": True,
        "hoverlabel": hover_label(dark) | {"align": "left"},
        "xaxis": {
            "title": {
                "text": "perplexity, lower is better" + (" (log scale)" if log else ""),
                "standoff": 10,
            },
            "type": "log" if log else "linear",
            **({} if log else {"rangemode": "tozero", "nticks": 6}),
            "gridcolor": colour("line", dark),
            "zeroline": False,
            "tickangle": 0,
            "fixedrange": True,
        },
        "yaxis": {
            "range": [rows, 0],
            "showticklabels": False,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
    }


def _interval(one: Evaluated) -> str:
    if one.low is None or one.high is None:
        return DASH
    return f"{number(one.low)} to {number(one.high)}"


def _with_interval(one: Evaluated) -> str:
    interval = _interval(one)
    return number(one.perplexity) + (f" ({interval})" if interval != DASH else "")


def _ratio(bar: Bar) -> str:
    return f"{number(bar.made.perplexity / bar.dense.perplexity)} ×" if bar.dense else DASH


def _said(group: Group, names: dict[str, str]) -> str:
    runs = "; ".join(f"{names[bar.run.id]} {_with_interval(bar.made)}" for bar in group.bars)
    dense = dict.fromkeys(number(bar.dense.perplexity) for bar in group.bars if bar.dense)
    before = f"dense {' or '.join(dense)}; " if dense else ""
    return f"{text_title(group.text)}: {before}{runs}."
