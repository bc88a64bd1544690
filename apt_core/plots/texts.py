"""Perplexity on every text that was read, with its 95% interval: one row for each text, one mark for each model."""

from __future__ import annotations

import plotly.graph_objects as go

from apt_core.base.words import DASH, duration, file_title, number
from apt_core.events import Evaluated
from apt_core.events.records import RunRecord
from apt_core.plots.chart import Chart, Row, RunSet, Sheet, Table
from apt_core.plots.look import LEGEND_ABOVE, NO_POINT, ground
from apt_core.plots.palette import colour, token_of
from apt_core.texts.titles import text_title

_ROW = 72  # pixels for each text: its name, its mark, its number
_HOVER = "<b>%{y}</b><br>perplexity %{customdata}<extra>%{fullData.name}</extra>"


def applies(runs: RunSet) -> bool:
    """Where the perplexity is the result itself, or several texts are read."""
    job = runs.shown.job
    return len(job.evaluation) > 1 or "pruned" not in job.subjects


def looks(runs: RunSet) -> object:
    return len(runs.shown.evaluated)


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    """What is measured so far; a text that is not read yet has its row and no mark."""
    record = runs.shown
    plot = go.Figure([_trace(record, subject, dark) for subject in record.job.subjects])
    return plot.update_layout(
        **_layout(len(names(record)), dark),
        uirevision=record.id,
        showlegend=len(record.job.subjects) > 1,
        annotations=[_name_above(name, dark) for name in names(record)],
    )


def title(runs: RunSet) -> str:
    """Which text is hardest, once all are read and its interval lies apart from all others; a plain name before."""
    record = runs.shown
    known = record.evaluated_on(record.job.subjects[-1])
    if record.live or len(known) < 2:
        return "Perplexity on the text" if len(record.job.evaluation) == 1 else "Perplexity on every text"
    hardest = max(known, key=lambda one: one.perplexity)
    apart = [one for one in known if one is not hardest and _below(one, hardest)]
    if len(apart) < len(known) - 1:
        return "Perplexity on every text"
    return f"{text_title(hardest.text)} is the hardest of {len(known)} texts: {number(hardest.perplexity)}"


def summary(runs: RunSet) -> str:
    """Every number in words."""
    record = runs.shown
    if not record.evaluated:
        return "No text has been read yet; lower is better."
    said = "; ".join(f"{_named(one, record)} {_with_interval(one)}" for one in record.evaluated)
    return f"{said}. The interval of 95% comes from the differences between windows."


def table(runs: RunSet) -> Table:
    record = runs.shown
    heads = ("text", "model", "perplexity", "95% interval", "windows", "tokens each", "time")
    rows = tuple(
        Row(
            (
                *(text_title(one.text), one.subject, number(one.perplexity), _interval(one)),
                *(str(one.windows), str(one.length), _time(one)),
            )
        )
        for one in record.evaluated
    )
    protocol = next((one.protocol for one in record.evaluated), "")
    return Table(f"Perplexity, protocol {protocol}" if protocol else "Perplexity", heads, rows, "ttnnnnn")


def sheet(runs: RunSet) -> Sheet:
    heads = (
        "text",
        "model",
        "perplexity",
        "low",
        "high",
        "windows",
        "length",
        "tokens",
        "protocol",
        "seconds",
    )
    rows = tuple(
        (
            *(file_title(one.text), one.subject, one.perplexity, one.low, one.high),
            *(one.windows, one.length, one.tokens, one.protocol, one.seconds),
        )
        for one in runs.shown.evaluated
    )
    return Sheet(heads, rows)


CHART = Chart(
    name="texts",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    views=("overview",),
    place=5,
)


def names(record: RunRecord) -> list[str]:
    """The rows of the chart: the texts of the job, each once."""
    return list(dict.fromkeys(text_title(one.text) for one in record.job.evaluation))


def _layout(texts: int, dark: bool) -> dict:
    return {
        "height": 90 + _ROW * texts,
        "margin": {"l": 8, "r": 16, "t": 34, "b": 46},
        **ground(dark),
        "legend": LEGEND_ABOVE,
        "xaxis": {
            "title": {"text": "perplexity, lower is better", "standoff": 10},
            "gridcolor": colour("line", dark),
            "zeroline": False,
            "rangemode": "tozero",
            "nticks": 6,
            "tickangle": 0,
            "fixedrange": True,
        },
        "yaxis": {
            "range": [texts - 0.4, -0.6],
            "type": "category",
            "showticklabels": False,
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
    }


def _name_above(name: str, dark: bool) -> dict:
    """The name of a text over its row, so that a narrow screen keeps its width for the marks."""
    return {
        "x": 0,
        "xref": "paper",
        "xanchor": "left",
        "y": name,
        "yshift": 20,
        "text": name,
        "showarrow": False,
        "font": {"size": 13, "color": colour("ink", dark)},
    }


def _trace(record: RunRecord, subject: str, dark: bool) -> go.Scatter:
    known = record.evaluated_on(subject)
    shade = colour(token_of(subject), dark)
    return go.Scatter(
        name=subject,
        x=[one.perplexity for one in known] or NO_POINT,
        y=[text_title(one.text) for one in known] or [names(record)[0]],
        mode="markers+text" if subject == "model" else "markers",
        text=[number(one.perplexity) for one in known],
        textposition="bottom center",
        textfont={"size": 15, "color": shade},
        marker={
            "color": shade,
            "size": 11,
            "symbol": "diamond" if subject in ("pruned", "before") else "circle",
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [(one.high or one.perplexity) - one.perplexity for one in known],
            "arrayminus": [one.perplexity - (one.low or one.perplexity) for one in known],
            "color": shade,
            "thickness": 2,
            "width": 6,
        },
        customdata=[_with_interval(one) for one in known],
        hovertemplate=_HOVER,
    )


def _below(one: Evaluated, other: Evaluated) -> bool:
    """Whether the intervals do not overlap."""
    return one.high is not None and other.low is not None and one.high < other.low


def _interval(one: Evaluated) -> str:
    return (
        f"{number(one.low)} to {number(one.high)}" if one.low is not None and one.high is not None else DASH
    )


def _with_interval(one: Evaluated) -> str:
    interval = _interval(one)
    return number(one.perplexity) + (f" ({interval})" if interval != DASH else "")


def _named(one: Evaluated, record: RunRecord) -> str:
    text = text_title(one.text)
    return f"{text}, {one.subject}:" if len(record.job.subjects) > 1 else f"{text}:"


def _time(one: Evaluated) -> str:
    return duration(one.seconds) + (" (measured once, reused)" if one.reused else "")
