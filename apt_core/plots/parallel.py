"""Every run of a sweep as one line over parallel axes: what was chosen, what came out; drag along an axis to select."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import plotly.graph_objects as go

from apt_core.base.words import duration, number, percent
from apt_core.events.records import RunRecord
from apt_core.plots.chart import Chart, Row, RunLink, RunSet, Sheet, Table
from apt_core.plots.look import CLEAR, font
from apt_core.plots.palette import colour
from apt_core.studies.curve import sweep_of

_FEWEST = 4  # lines that are worth selecting from
_LONGEST = 14  # characters of a name at an axis
_LETTER = 7.5  # pixels of one of them, about


def applies(runs: RunSet) -> bool:
    return len(_finished(runs)) >= _FEWEST


def looks(runs: RunSet) -> object:
    return [record.id for record in _finished(runs)]


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    records = _finished(runs)
    perplexities = [_perplexity(record) for record in records]
    axes = [*_chosen(records), *_measured(records)]
    lines = go.Parcoords(
        dimensions=axes,
        line={
            "color": perplexities,
            "colorscale": [[0, colour("dense", dark)], [1, colour("pruned", dark)]],
        },
        labelfont={"color": colour("ink", dark), "size": 13},
        tickfont={"color": colour("muted", dark), "size": 12},
        rangefont={"color": colour("muted", dark), "size": 11},
        labelangle=-20,
        uid="runs",
    )
    return go.Figure(lines).update_layout(
        uirevision=runs.shown.study,
        height=380,
        margin={"l": _room_for(axes[0]), "r": 50, "t": 90, "b": 30},
        paper_bgcolor=CLEAR,
        font=font(dark),
    )


def title(runs: RunSet) -> str:
    return "Every choice and what came of it"


def summary(runs: RunSet) -> str:
    """The best and the worst run in words."""
    records = sorted(_finished(runs), key=_perplexity)
    best, worst = records[0], records[-1]
    return (
        f"{len(records)} runs, one line each. Lowest perplexity: {best.job.label}, {number(_perplexity(best))}; "
        f"highest: {worst.job.label}, {number(_perplexity(worst))}."
    )


def note(runs: RunSet) -> str:
    return "Drag along an axis to keep only the lines that pass there; click the mark to show all again."


def table(runs: RunSet) -> Table:
    heads = ("run", "allocation", "seed", "windows", "sparsity", "perplexity", "time of pruning")
    rows = tuple(
        Row(
            (
                RunLink(record.id, record.job.label, record.id == runs.marked),
                record.pruning.method.allocation.title,
                str(record.pruning.seed),
                str(record.pruning.calibration.samples),
                percent(record.sparsity),
                number(_perplexity(record)),
                duration(_seconds(record)),
            )
        )
        for record in _finished(runs)
    )
    return Table("Every run of the sweep", heads, rows, "ttnnnnn")


def sheet(runs: RunSet) -> Sheet:
    heads = ("run", "method", "pattern", "allocation", "seed", "samples", "perplexity", "prune_seconds")
    rows = tuple(
        (
            *(record.id, record.pruning.method.name, record.pruning.pattern.label),
            *(record.pruning.method.allocation.name, record.pruning.seed),
            *(record.pruning.calibration.samples, _perplexity(record), _seconds(record)),
        )
        for record in _finished(runs)
    )
    return Sheet(heads, rows)


CHART = Chart(
    name="parallel",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    views=("others",),
    place=36,
    of_study=True,
)


def _finished(runs: RunSet) -> list[RunRecord]:
    members = sweep_of(runs.shown, runs.others)
    return [record for record in members if record.finished and record.pruned]


def _perplexity(record: RunRecord) -> float:
    return record.pruned.perplexity if record.pruned else 0.0


def _seconds(record: RunRecord) -> float:
    return record.finished.seconds.get("prune", 0.0) if record.finished else 0.0


def _chosen(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """An axis for everything in which the jobs differ."""
    jobs = [record.pruning for record in records]
    axes: list[tuple[str, list[Hashable]]] = [
        ("method", [job.method.title for job in jobs]),
        ("pattern", [job.pattern.label for job in jobs]),
        ("allocation", [job.method.allocation.title for job in jobs]),
        ("seed", [job.seed for job in jobs]),
        ("windows", [job.calibration.samples for job in jobs]),
    ]
    return [_steps(name, values) for name, values in axes if len(set(values)) > 1]


def _steps(name: str, values: Sequence[Hashable]) -> dict[str, Any]:
    """An axis of names, in the order in which they come."""
    known = list(dict.fromkeys(values))
    texts = [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in map(str, known)]
    return {
        "label": name,
        "values": [known.index(value) for value in values],
        "tickvals": list(range(len(known))),
        "ticktext": texts,
    }


def _room_for(axis: dict[str, Any]) -> float:
    """Pixels for the names beside an axis, which stand on its left."""
    return max(70.0, 14 + _LETTER * max(map(len, axis.get("ticktext", [""]))))


def _measured(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    return [
        {"label": "seconds", "values": [round(_seconds(record), 1) for record in records]},
        {"label": "perplexity", "values": [round(_perplexity(record), 2) for record in records]},
    ]
