"""Several runs over one another: x = block, y = mean relative error of its layers (log), one line per run."""

from __future__ import annotations

import plotly.graph_objects as go

from apt_core.base.words import DASH, number
from apt_core.events.projections import split
from apt_core.events.records import RunRecord
from apt_core.plots.block_axes import over_blocks
from apt_core.plots.block_curves import Stroke, block_curve, room_for_names
from apt_core.plots.chart import Chart, Row, RunSet, Sheet, Table
from apt_core.plots.layer_difference import inputs_note
from apt_core.plots.layer_marks import depth
from apt_core.plots.run_marks import mark_of
from apt_core.studies.names import names_of
from apt_core.studies.race import whole_blocks

_STROKE = Stroke(width=2, mark=8)


def applies(runs: RunSet) -> bool:
    return any(run.layers for run in runs.members)


def looks(runs: RunSet) -> object:
    return [(run.id, run.status, len(run.layers)) for run in runs.members]


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    """Blocks that are not done yet have no point."""
    names = names_of(runs.members)
    pruning = [run for run in runs.members if run.layers]
    curves = {run.id: whole_blocks(run) for run in pruning}
    places = {run.id: place for place, run in enumerate(runs.members)}
    plot = go.Figure(
        [
            block_curve(run.id, names[run.id], curves[run.id], mark_of(places[run.id]), _STROKE, dark)
            for run in pruning
        ]
    )
    errors = [error for curve in curves.values() for error in curve.values()]
    revision = "-".join(run.id for run in runs.members)
    over_blocks(plot, revision, max(map(depth, pruning), default=0), errors, dark)
    plot.update_yaxes(title={"text": "mean relative error (log scale)"})
    return plot.update_layout(meta=room_for_names(len(pruning), fit=2))


def title(runs: RunSet) -> str:
    """What layers show is said by the chart of their difference; the figures here are means."""
    return "Mean error of each block"


def summary(runs: RunSet) -> str:
    """The chart in words, for those who do not see it."""
    names = names_of(runs.members)
    said = "; ".join(_said(run, names[run.id]) for run in runs.members if run.layers)
    return f"Mean relative error of the layers of each block, on a log scale; lower is better. {said}."


def note(runs: RunSet) -> str:
    return inputs_note(runs)


def table(runs: RunSet) -> Table:
    """Every layer with its error in every run; a dash where a run has no such layer."""
    names = names_of(runs.members)
    pruning = [run for run in runs.members if run.layers]
    errors = [_errors(run) for run in pruning]
    places = sorted({place for of in errors for place in of}, key=lambda place: place[0])
    rows = (
        Row((str(block), layer, *(_cell(of.get((block, layer))) for of in errors)), f"{block}:{layer}")
        for block, layer in _in_order(places, errors)
    )
    heads = ("block", "layer", *(names[run.id] for run in pruning))
    return Table("Relative error of every layer", heads, tuple(rows), "nt" + "n" * len(pruning))


def sheet(runs: RunSet) -> Sheet:
    """One row for each layer of each run."""
    names = names_of(runs.members)
    rows = (
        (run.id, names[run.id], block, layer, error)
        for run in runs.members
        for (block, layer), error in _errors(run).items()
    )
    return Sheet(("run", "name", "block", "layer", "relative_error"), tuple(rows))


CHART = Chart(
    name="curves",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    place=20,
    of_run=False,
    of_set=True,
)


def _errors(run: RunRecord) -> dict[tuple[int, str], float]:
    return {(part.block, part.layer): part.relative_error for layer in run.layers for part in split(layer)}


def _in_order(
    places: list[tuple[int, str]], errors: list[dict[tuple[int, str], float]]
) -> list[tuple[int, str]]:
    """By block, and inside a block in the order in which layers were pruned."""
    order = {place: number for of in reversed(errors) for number, place in enumerate(of)}
    return sorted(places, key=lambda place: (place[0], order[place]))


def _cell(error: float | None) -> str:
    return DASH if error is None else number(error)


def _said(run: RunRecord, name: str) -> str:
    curve = whole_blocks(run)
    if not curve:
        return f"{name}: no block is whole yet"
    worst = max(curve, key=lambda block: curve[block])
    return (
        f"{name}: mean {number(run.mean_relative_error)}, largest in block {worst} ({number(curve[worst])})"
    )
