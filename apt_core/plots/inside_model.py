"""The figures of a whole model's inside: how error grows with depth, and what each block costs alone."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from apt_core.base.words import fold, number, percent
from apt_core.measure.depth_values import BlocksAlone, Depth
from apt_core.plots.block_axes import block_axis, error_ticks
from apt_core.plots.chart import Row, Sheet, Table
from apt_core.plots.findings import lone_value, trend_of
from apt_core.plots.inside_layer import Drawn
from apt_core.plots.look import LEGEND_ABOVE, ground, hover_label, thin_axis
from apt_core.plots.palette import colour
from apt_core.texts.titles import text_title

NAMES = ("depth", "alone")
_PANELS = ("relative error", "cosine", "KL of the lens, nats")
_NARROW = 5.0  # times the least error: within that a log axis has hardly a tick


def drawn_depth(found: Depth) -> Drawn:
    """Three panels over the blocks: relative error of the hidden states, their cosine, KL of the logit lens."""
    blocks = [one.block for one in found.blocks]
    plot = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    plot.add_trace(
        _line("all tokens", blocks, [one.relative_error or None for one in found.blocks], "pruned"), 1, 1
    )
    plot.add_trace(
        _line("median token", blocks, [one.median_error or None for one in found.blocks], "mark-1"), 1, 1
    )
    plot.add_trace(
        _line("cosine", blocks, [one.cosine for one in found.blocks], "mark-3", legend=False), 2, 1
    )
    plot.add_trace(
        _line("KL", blocks, [one.divergence for one in found.blocks], "mark-4", legend=False), 3, 1
    )
    _laid_out(plot, len(blocks), height=560)
    for row, title in enumerate(_PANELS, start=1):
        plot.update_yaxes(title={"text": title}, nticks=5, row=row, col=1)
    plot.update_yaxes(**_errors_axis(found), row=1, col=1).update_yaxes(rangemode="tozero", row=3, col=1)
    return Drawn(plot, _depth_title(found), depth_summary(found))


def _errors_axis(found: Depth) -> dict[str, Any]:
    """Log, with ticks written out, where errors span more than a few times; linear otherwise."""
    errors = [error for one in found.blocks for error in (one.relative_error, one.median_error) if error > 0]
    if not errors or max(errors) < _NARROW * min(errors):
        return {}
    return {"type": "log", "title": {"text": "relative error (log scale)"}, **error_ticks(errors)}


def drawn_alone(found: BlocksAlone) -> Drawn:
    """One bar for each block: how much the loss rises when it alone is pruned."""
    blocks = list(range(len(found.losses)))
    plot = go.Figure(
        go.Bar(
            x=blocks,
            y=list(found.increases),
            marker={"color": colour("pruned")},
            customdata=[
                [number(loss), percent(share)] for loss, share in zip(found.losses, found.shares, strict=True)
            ],
            hovertemplate="<b>block %{x} alone</b><br>loss %{customdata[0]}, %{y:+.3g}<br>"
            "%{customdata[1]} of all increases<extra></extra>",
        )
    )
    _laid_out(plot, len(blocks), height=340).update_layout(showlegend=False, bargap=0.25)
    plot.update_yaxes(
        title={"text": "increase of the loss, nats"}, nticks=6, zeroline=True, zerolinecolor=colour("edge")
    )
    return Drawn(plot, _alone_title(found), alone_summary(found))


def depth_summary(found: Depth) -> str:
    """The chart in words."""
    first, last = found.blocks[0], found.blocks[-1]
    return (
        f"Hidden states of the dense and the pruned model on {_windows(found)}. Relative error "
        f"{number(first.relative_error)} after block {first.block}, {number(last.relative_error)} after block "
        f"{last.block}; cosine {first.cosine:.3f} and {last.cosine:.3f}; KL of the next-token distributions that the "
        f"model's own head reads there {number(first.divergence)} and {number(last.divergence)} nats, at "
        f"{found.positions} places. At the end both predict the same token at {percent(found.top1)} of them."
    )


def alone_summary(found: BlocksAlone) -> str:
    """The chart in words."""
    worst = max(range(len(found.losses)), key=lambda block: found.losses[block])
    return (
        f"Loss on {_windows(found)} with one block pruned and all others dense. Dense {number(found.dense)}; block "
        f"{worst} alone costs most, {number(found.increases[worst])} nats or {percent(found.shares[worst])} of all "
        f"increases. These add up to {number(sum(found.increases))}; all blocks pruned together cost "
        f"{number(found.pruned - found.dense)}, for the errors of one block are changed by those behind it."
    )


def depth_table(found: Depth) -> Table:
    heads = ("block", "relative error", "of the median token", "cosine", "KL of the lens")
    rows = tuple(
        Row(
            (
                *(str(one.block), number(one.relative_error), number(one.median_error)),
                *(f"{one.cosine:.4f}", number(one.divergence)),
            )
        )
        for one in found.blocks
    )
    return Table("Dense against pruned after every block", heads, rows, "nnnnn")


def alone_table(found: BlocksAlone) -> Table:
    rows = tuple(
        Row((str(block), number(loss), number(increase), percent(share)))
        for block, (loss, increase, share) in enumerate(
            zip(found.losses, found.increases, found.shares, strict=True)
        )
    )
    return Table("Loss with one block pruned alone", ("block", "loss", "increase", "share"), rows, "nnnn")


def depth_sheet(found: Depth) -> Sheet:
    heads = ("block", "relative_error", "median_error", "cosine", "divergence")
    return Sheet(heads, tuple(tuple(getattr(one, name) for name in heads) for one in found.blocks))


def alone_sheet(found: BlocksAlone) -> Sheet:
    pairs = enumerate(zip(found.losses, found.increases, found.shares, strict=True))
    return Sheet(("block", "loss", "increase", "share"), tuple((block, *values) for block, values in pairs))


def _depth_title(found: Depth) -> str:
    """What a rank test finds in the errors (`findings.trend_of`); a plain name where it finds nothing."""
    errors = {one.block: math.log(one.relative_error) for one in found.blocks if one.relative_error > 0}
    grown = trend_of(errors)
    if grown is None:
        return "Where the models diverge"
    verb, factor = ("grows", grown.factor) if grown.factor > 1 else ("shrinks", 1 / grown.factor)
    return f"The error of hidden states {verb} {fold(factor)} from block {grown.first} to {grown.last}"


def _alone_title(found: BlocksAlone) -> str:
    """The only block that costs far more than the rest (`findings.lone_value`); a plain name otherwise."""
    block = lone_value(found.increases)
    if block is None:
        return "What each block costs when it alone is pruned"
    return (
        f"Block {block} alone costs far more than any other: {percent(found.shares[block])} of all increases"
    )


def _windows(found: Depth | BlocksAlone) -> str:
    return f"{found.windows} windows of {found.length} tokens of {text_title(found.text)}"


def _line(name: str, x: list[int], y: list[Any], token: str, legend: bool = True) -> go.Scatter:
    return go.Scatter(
        name=name,
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": colour(token), "width": 1.5},
        marker={"color": colour(token), "size": 6},
        showlegend=legend,
        hovertemplate=f"block %{{x}}: {name} %{{y:.4g}}<extra></extra>",
    )


def _laid_out(plot: go.Figure, blocks: int, height: int) -> go.Figure:
    axis = thin_axis()
    plot.update_layout(
        **ground(),
        height=height,
        margin={"l": 66, "r": 8, "t": 34, "b": 46},
        hoverlabel=hover_label(),
        legend=LEGEND_ABOVE,
    )
    across = block_axis(blocks)
    plot.update_yaxes(**axis).update_xaxes(
        **axis | {name: across[name] for name in across if name != "title"}
    )
    list(plot.select_xaxes())[-1].update(title={"text": "block"})
    return plot
