"""Two runs of one model as a heat map: in which layers the other has more error than the first, and in which less."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from apt_core.base.words import DASH, number, times
from apt_core.plots.block_grid import Cell, Scale, grid
from apt_core.plots.chart import Chart, Row, RunSet, Sheet, Table
from apt_core.plots.findings import lopsided
from apt_core.plots.layer_marks import depth, short_name
from apt_core.studies.layer_difference import LayerDifference, layer_differences, same_layers
from apt_core.studies.names import names_of

_DEEPEST = 0.85  # the share of the layers whose differences the colours can show


def applies(runs: RunSet) -> bool:
    """Exactly two runs that pruned the same layers."""
    return len(runs.members) == 2 and same_layers(*runs.members)


def looks(runs: RunSet) -> object:
    return [(run.id, run.status, len(run.layers)) for run in runs.members]


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    cells = [_cell(one) for one in _found(runs)]
    revision = "-".join(run.id for run in runs.members)
    return grid(cells, depth(runs.shown), _scale(cells), revision, dark)


def title(runs: RunSet) -> str:
    """Which run has more error in most layers, where a sign test finds it (p < 0.01)."""
    first, other = _names(runs)
    changes = [one.difference for one in _found(runs)]
    more, less = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    if any(run.live for run in runs.members) or not lopsided(more, less):
        return f"Layer errors: {other} against {first}"
    if more > less:
        return f"{other} has more error than {first} in {more} of {len(changes)} layers"
    return f"{other} has less error than {first} in {less} of {len(changes)} layers"


def summary(runs: RunSet) -> str:
    """The chart in words, for those who do not see it."""
    first, other = _names(runs)
    found = [one for one in _found(runs) if one.ratio is not None]
    if not found:
        return "The two runs have no layer in common that both pruned."
    most, least = max(found, key=_ratio), min(found, key=_ratio)
    counts = [sum(_ratio(one) > 1 for one in found), sum(_ratio(one) < 1 for one in found)]
    return (
        f"{other} against {first}, {len(found)} layers: more error in {counts[0]}, less in {counts[1]}, the same in "
        f"{len(found) - sum(counts)}. Most: {_place(most)} ({times(most.ratio)}); least: {_place(least)} "
        f"({times(least.ratio)})."
    )


def note(runs: RunSet) -> str:
    return inputs_note(runs)


def inputs_note(runs: RunSet) -> str:
    """On which inputs errors are measured, and whether they compare."""
    said = "Every run measures the error of a layer on the inputs that its own pruned layers hand on."
    jobs = [run.pruning for run in runs.members if run.layers]
    if len({(job.calibration, job.seed) for job in jobs}) > 1:
        return (
            f"{said} These runs calibrate on different windows, so part of a difference may come from those."
        )
    return said


def table(runs: RunSet) -> Table:
    """The largest change first, in either direction."""
    first, other = _names(runs)
    ranked = sorted(_found(runs), key=lambda one: -abs(math.log(one.ratio)) if one.ratio else -math.inf)
    heads = ("block", "layer", first, other, "difference", "ratio")
    return Table(
        f"Relative error of each layer: {other} against {first}", heads, tuple(map(_row, ranked)), "ntnnnn"
    )


def sheet(runs: RunSet) -> Sheet:
    heads = ("block", "layer", *(run.id for run in runs.members), "difference", "ratio")
    rows = ((*one, one.difference, "" if one.ratio is None else one.ratio) for one in _found(runs))
    return Sheet(heads, tuple(rows))


CHART = Chart(
    name="difference",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    place=30,
    of_run=False,
    of_set=True,
)


def _found(runs: RunSet) -> tuple[LayerDifference, ...]:
    return layer_differences(*runs.members)


def _names(runs: RunSet) -> tuple[str, str]:
    names = names_of(runs.members)
    first, other = runs.members
    return names[first.id], names[other.id]


def _ratio(one: LayerDifference) -> float:
    return one.ratio or 1.0


def _place(one: LayerDifference) -> str:
    return f"block {one.block}, {short_name(one.layer)}"


def _key(one: LayerDifference) -> str:
    return f"{one.block}:{one.layer}"


def _cell(one: LayerDifference) -> Cell:
    words = (
        f"<b>block {one.block} · {one.layer}</b><br>{number(one.first)} → {number(one.other)}, "
        f"{times(one.ratio)} the error"
    )
    return Cell(one.block, one.layer, None if one.ratio is None else math.log2(one.ratio), words, _key(one))


def _row(one: LayerDifference) -> Row:
    return Row(
        (
            *(str(one.block), one.layer, number(one.first), number(one.other)),
            *(number(one.difference), DASH if one.ratio is None else times(one.ratio)),
        ),
        _key(one),
    )


def _scale(cells: list[Cell]) -> Scale:
    """As far to either side, so that no colour means no difference; at least from 0.8 to 1.25 times. The few layers
    that differ most share the deepest colour, so that the others can be distinguished."""
    levels = sorted(abs(cell.level) for cell in cells if cell.level is not None)
    reach = max(levels[int(_DEEPEST * (len(levels) - 1))] if levels else 0.0, math.log2(1.25))
    beyond = " or more" if levels and levels[-1] > reach else ""
    # The words at an end stand inside it, where a narrow screen does not cut them.
    ends = (-0.86 * reach, f"← 1/{number(2**reach)}"), (0.7 * reach, f"{number(2**reach)}{beyond} →")
    ticks = (ends[0], (0.0, "the same"), ends[1])
    return Scale(("less", "even", "more"), -reach, reach, ticks, "times the error of the first run")
