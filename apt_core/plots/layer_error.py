"""The error of every pruned layer: x = block, y = relative error (log), one trace per projection.

Rows that are a projection of their own (Mamba) are a trace of their own.
"""

from __future__ import annotations

from statistics import fmean

import plotly.graph_objects as go

from apt_core.base.words import duration, fold, number, percent
from apt_core.events import LayerPruned
from apt_core.events.projections import kind_of, parts_of
from apt_core.events.records import RunRecord
from apt_core.plots.block_axes import over_blocks
from apt_core.plots.chart import Chart, Row, RunSet, Sheet, Table
from apt_core.plots.findings import leading_kind, lone_layer, trend
from apt_core.plots.layer_marks import Group, depth, groups, legend_of, place, short_name, slots
from apt_core.plots.layer_words import RELATIVE_ERROR, projections
from apt_core.plots.look import NO_POINT
from apt_core.plots.palette import colour

_HOVER = (
    "<b>block %{x} · %{customdata[0]}</b><br>relative error %{customdata[1]}<br>"
    "%{customdata[2]} removed exactly: %{customdata[3]}<br>shape %{customdata[4]} · %{customdata[5]}"
    "<extra></extra>"
)
_NEUTRAL = "Error of each layer"


def applies(runs: RunSet) -> bool:
    """Also before the first layer: the empty axis is as wide as the model is deep. A model that becomes smaller has
    no layers to compare."""
    job = runs.shown.job
    return "pruned" in job.subjects and not job.reshapes


def looks(runs: RunSet) -> object:
    """Layers come one by one; the model widens the empty axis."""
    return len(runs.shown.layers), runs.shown.model is not None


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    """The chart of what is known so far; its x axis is already as wide as the model is deep."""
    record = runs.shown
    plot = go.Figure([_trace(group, record, dark) for group in groups(record)])
    errors = [layer.relative_error for layer in record.layers]
    return over_blocks(plot, record.id, depth(record), errors, dark)


def title(runs: RunSet) -> str:
    """What a test finds (`findings`) once the run is over; a plain name before, and when no test finds any."""
    record = runs.shown
    if record.status != "finished" or not record.layers:
        return _NEUTRAL
    if len({layer.block for layer in record.layers}) == 1:
        return f"One block, mean error {number(fmean(layer.relative_error for layer in record.layers))}"
    found = [said for said in (_trend(record.layers), _where(record.layers)) if said]
    return "; ".join([found[0], *map(_inside, found[1:])]) if found else _NEUTRAL


def summary(runs: RunSet) -> str:
    """The chart in words, for those who do not see it."""
    record = runs.shown
    if not record.layers:
        return "No layer has been pruned yet; the axis is ready for every block of the model."
    worst = max(record.layers, key=lambda layer: layer.relative_error)
    best = min(record.layers, key=lambda layer: layer.relative_error)
    valid = sum(layer.pattern_valid for layer in record.layers)
    return (
        f"{len(record.layers)} of {_total(record)} layers. Mean relative error "
        f"{number(record.mean_relative_error or 0)}; smallest {number(best.relative_error)} ({place(best)}), "
        f"largest {number(worst.relative_error)} ({place(worst)}). "
        f"{_exactly(record)} in {valid} of {len(record.layers)}."
    )


def note(runs: RunSet) -> str:
    """What the axis and the names say, for who has never pruned a model."""
    names = {short_name(kind) for kind in slots(runs.shown)}
    return f"Relative error: {_inside(RELATIVE_ERROR)} {projections(names)}".rstrip()


def table(runs: RunSet) -> Table:
    """Every pruned layer, in the order in which it was pruned; below it the projections that its rows are."""
    layers = runs.shown.layers
    rows = [row for layer in layers for row in (_layer_row(layer), *map(_part_row, parts_of(layer)))]
    heads = ("block", "layer", "shape", "relative error", "removed", "pattern exact", "time")
    return Table(f"{len(layers)} pruned layers", heads, tuple(rows), "ntnnntn")


def sheet(runs: RunSet) -> Sheet:
    heads = (
        *("block", "layer", "rows", "columns", "removed", "sparsity", "relative_error"),
        *("pattern_valid", "seconds", "tokens"),
    )
    rows = (
        (
            *(layer.block, layer.layer, *layer.shape, layer.removed, layer.sparsity, layer.relative_error),
            *(layer.pattern_valid, layer.seconds, layer.tokens),
        )
        for whole in runs.shown.layers
        for layer in (whole, *parts_of(whole))
    )
    return Sheet(heads, tuple(rows))


CHART = Chart(
    name="layers",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    views=("overview", "layers"),
    place=10,
)


def _inside(said: str) -> str:
    """As it is written behind a colon or a semicolon."""
    return said[0].lower() + said[1:]


def _exactly(record: RunRecord) -> str:
    pattern = record.pruning.pattern
    if record.pruning.method.allocation.varies(pattern):
        return "Exactly the layer's own share removed"
    return f"Pattern {pattern.label} kept" if pattern.kind == "n:m" else f"Exactly {pattern.label} removed"


def _trace(group: Group, record: RunRecord, dark: bool) -> go.Scatter:
    shade, layers = colour(group.token, dark), group.layers
    return go.Scatter(
        name=group.legend,
        x=[layer.block for layer in layers]
        or NO_POINT,  # a kind without points keeps its place in the legend
        y=[layer.relative_error or None for layer in layers] or NO_POINT,  # no logarithm of an exact zero
        mode="lines+markers" if len({layer.block for layer in layers}) == len(layers) else "markers",
        line={"color": shade, "width": 1},
        marker={"color": shade, "symbol": group.shape, "size": 8, "line": {"color": shade, "width": 1}},
        opacity=0.9,
        customdata=[_hover(layer, record) for layer in layers],
        meta=[group.kind],
        hovertemplate=_HOVER,
    )


def _hover(layer: LayerPruned, record: RunRecord) -> list[str]:
    """What hovering says, then what a click says and the key of the row that it selects."""
    rows, columns = layer.shape
    error, shape, time = number(layer.relative_error), f"{rows} × {columns}", f"{layer.seconds:.2f} s"
    removed = f"{layer.sparsity:.2%}".replace(".00%", "%")
    exact = f"{'yes' if layer.pattern_valid else 'NO'} ({record.pruning.pattern.label})"
    readout = (
        f"Block {layer.block}, {layer.layer}: relative error {error}, {removed} removed, pattern exact: {exact}, "
        f"shape {shape}, {time}"
    )
    return [layer.layer, error, removed, exact, shape, time, readout, _key(layer)]


def _key(layer: LayerPruned) -> str:
    return f"{layer.block}:{layer.layer}"


def _layer_row(layer: LayerPruned) -> Row:
    few = f" (only {layer.tokens:,} tokens)" if layer.few_tokens else ""
    exact = "yes" if layer.pattern_valid else "NO"
    return _row(layer, layer.layer + few, exact, duration(layer.seconds))


def _part_row(part: LayerPruned) -> Row:
    """Exactness and time are said of the whole layer, in the row above."""
    return _row(part, part.layer, "", "")


def _row(layer: LayerPruned, name: str, exact: str, time: str) -> Row:
    rows, columns = layer.shape
    cells = (
        *(str(layer.block), name, f"{rows} × {columns}", number(layer.relative_error)),
        *(percent(layer.sparsity), exact, time),
    )
    return Row(cells, _key(layer))


def _trend(layers: tuple[LayerPruned, ...]) -> str:
    found = trend(layers)
    if found is None:
        return ""
    verb, factor = ("grows", found.factor) if found.factor > 1 else ("shrinks", 1 / found.factor)
    return f"Error {verb} {fold(factor)} from block {found.first} to {found.last}"


def _where(layers: tuple[LayerPruned, ...]) -> str:
    if alone := lone_layer(layers):
        return f"One layer is far from the rest: {place(alone)} ({number(alone.relative_error)})"
    leader = leading_kind(layers)
    if leader is None:
        return ""
    kinds = list(dict.fromkeys(kind_of(layer.layer) for layer in layers))
    return f"Errors are largest in the {legend_of(kinds)[leader]} projections"


def _total(record: RunRecord) -> int:
    return record.model.total_layers if record.model else len(record.layers)
