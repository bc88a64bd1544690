"""The error of every layer as a heat map: where in the model the errors are."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from apt_core.base.words import number
from apt_core.events import LayerPruned
from apt_core.events.projections import split
from apt_core.events.records import RunRecord
from apt_core.plots.block_grid import Cell, Scale, grid
from apt_core.plots.chart import Chart, Row, RunSet, Sheet, Table
from apt_core.plots.layer_marks import depth, place

_FLOOR = 1e-9  # an exact zero has no logarithm


def applies(runs: RunSet) -> bool:
    """Once the run is over, and where there is more than one block."""
    return not runs.shown.live and len({layer.block for layer in runs.shown.layers}) > 1


def looks(runs: RunSet) -> object:
    return len(runs.shown.layers)


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    record = runs.shown
    cells = [_cell(part) for part in _parts(record)]
    return grid(cells, depth(record), _scale(cells), record.id, dark)


def title(runs: RunSet) -> str:
    """Its findings are those of the chart of layers, so it states none."""
    return "Error by block and projection"


def summary(runs: RunSet) -> str:
    """The chart in words, for those who do not see it."""
    ranked = sorted(_parts(runs.shown), key=lambda layer: layer.relative_error)
    largest = ", ".join(f"{place(layer)} ({number(layer.relative_error)})" for layer in ranked[:-4:-1])
    return (
        f"Relative error of {len(ranked)} layers, the colour on a log scale. Largest: {largest}. Smallest: "
        f"{place(ranked[0])} ({number(ranked[0].relative_error)})."
    )


def table(runs: RunSet) -> Table:
    """The largest error first."""
    ranked = sorted(_parts(runs.shown), key=lambda layer: -layer.relative_error)
    rows = (Row((str(one.block), one.layer, number(one.relative_error)), _key(one)) for one in ranked)
    return Table("Layers, the largest error first", ("block", "layer", "relative error"), tuple(rows), "ntn")


def sheet(runs: RunSet) -> Sheet:
    rows = tuple((one.block, one.layer, one.relative_error) for one in _parts(runs.shown))
    return Sheet(("block", "layer", "relative_error"), rows)


CHART = Chart(
    name="heat-map",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    place=15,
)


def _parts(record: RunRecord) -> list[LayerPruned]:
    return [part for layer in record.layers for part in split(layer)]


def _cell(layer: LayerPruned) -> Cell:
    level = math.log10(max(layer.relative_error, _FLOOR)) if layer.relative_error > 0 else None
    words = f"<b>block {layer.block} · {layer.layer}</b><br>relative error {number(layer.relative_error)}"
    return Cell(layer.block, layer.layer, level, words, _key(layer))


def _key(layer: LayerPruned) -> str:
    return f"{layer.block}:{layer.layer}"


def _scale(cells: list[Cell]) -> Scale:
    """From the smallest to the largest error; 1, 2 and 5 of a decade are named."""
    levels = [cell.level for cell in cells if cell.level is not None] or [0.0]
    low, high = min(levels), max(levels)
    wide = high - low > 1.5
    ticks = [digit * 10.0**power for power in range(-9, 4) for digit in ((1,) if wide else (1, 2, 5))]
    named = [(math.log10(tick), f"{tick:g}") for tick in ticks if low <= math.log10(tick) <= high]
    ends = [(low, number(10**low)), (high, number(10**high))]
    return Scale(
        ("even", "more"),
        low,
        max(high, low + 1e-6),
        tuple(named if len(named) > 1 else ends),
        "relative error",
    )
