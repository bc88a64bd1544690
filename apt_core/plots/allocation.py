"""What each layer was given: x = block, y = the share of its weights that goes, one trace per projection."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from apt_core.base.words import percent
from apt_core.events import LayerPruned
from apt_core.plots.block_axes import over_blocks
from apt_core.plots.chart import Chart, Row, RunSet, Sheet, Table
from apt_core.plots.layer_marks import Group, depth, groups, place
from apt_core.plots.palette import colour

_EVEN = 0.005  # closer than half a percent is rounding, not an allocation
_HOVER = "<b>block %{x} · %{customdata[0]}</b><br>%{customdata[1]} removed<extra></extra>"


def applies(runs: RunSet) -> bool:
    """Where layers differ: a uniform allocation has nothing to show."""
    shares = [layer.sparsity for layer in runs.shown.layers]
    return bool(shares) and max(shares) - min(shares) > _EVEN


def looks(runs: RunSet) -> object:
    return len(runs.shown.layers)


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    record = runs.shown
    plot = go.Figure([_trace(group, dark) for group in groups(record)])
    over_blocks(plot, record.id, depth(record), [1.0], dark)
    shares = [layer.sparsity for layer in record.layers]
    margin = 0.05
    reach = [max(0.0, min(shares) - margin), min(1.0, max(shares) + margin)]
    whole = record.sparsity or 0.0
    plot.add_hline(y=whole, line={"color": colour("edge", dark), "width": 1, "dash": "dot"})
    axis = {"type": "linear", "tickvals": None, "ticktext": None, "tickformat": ".0%", "range": reach}
    return plot.update_yaxes(axis | {"title": {"text": "weights removed"}})


def title(runs: RunSet) -> str:
    least, most = _ends(runs.shown.layers)
    if runs.shown.live:
        return "What each layer was given"
    return f"Layers lose {percent(least.sparsity)} to {percent(most.sparsity)} of their weights"


def summary(runs: RunSet) -> str:
    """The chart in words, for those who do not see it."""
    least, most = _ends(runs.shown.layers)
    return (
        f"The least goes in {place(least)} ({percent(least.sparsity)}), the most in {place(most)} "
        f"({percent(most.sparsity)}); {percent(runs.shown.sparsity)} of all, the dotted line."
    )


def table(runs: RunSet) -> Table:
    heads = ("block", "layer", "weights", "removed", "share")
    rows = (
        Row(
            (
                *(str(layer.block), layer.layer, f"{_weights(layer):,}", f"{layer.removed:,}"),
                percent(layer.sparsity),
            )
        )
        for layer in runs.shown.layers
    )
    return Table("What goes in each layer", heads, tuple(rows), "ntnnn")


def sheet(runs: RunSet) -> Sheet:
    rows = (
        (layer.block, layer.layer, _weights(layer), layer.removed, layer.sparsity)
        for layer in runs.shown.layers
    )
    return Sheet(("block", "layer", "weights", "removed", "share"), tuple(rows))


CHART = Chart(
    name="allocation",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    place=20,
)


def _trace(group: Group, dark: bool) -> go.Scatter:
    shade, layers = colour(group.token, dark), group.layers
    return go.Scatter(
        name=group.legend,
        x=[layer.block for layer in layers] or [None],
        y=[layer.sparsity for layer in layers] or [None],
        mode="lines+markers" if len({layer.block for layer in layers}) == len(layers) else "markers",
        line={"color": shade, "width": 1},
        marker={"color": shade, "symbol": group.shape, "size": 8, "line": {"color": shade, "width": 1}},
        opacity=0.9,
        customdata=[[layer.layer, percent(layer.sparsity)] for layer in layers],
        hovertemplate=_HOVER,
    )


def _ends(layers: Sequence[LayerPruned]) -> tuple[LayerPruned, LayerPruned]:
    """The layer that loses the smallest share, and the one that loses the largest."""
    return min(layers, key=lambda layer: layer.sparsity), max(layers, key=lambda layer: layer.sparsity)


def _weights(layer: LayerPruned) -> int:
    return layer.shape[0] * layer.shape[1]
