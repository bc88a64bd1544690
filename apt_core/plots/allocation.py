"""What each layer was given: x = block, y = the share of its weights that goes, one trace per projection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from apt_core.base.words import DASH, percent
from apt_core.events.projections import kind_of
from apt_core.events.records import RunRecord
from apt_core.plots.block_axes import over_blocks
from apt_core.plots.chart import Chart, Row, RunSet, Sheet, Table
from apt_core.plots.layer_marks import depth, legend_of, short_name, slots
from apt_core.plots.palette import colour

_EVEN = 0.005  # closer than half a percent is rounding, not an allocation
_SAME = 0.0005  # closer than that all say the same percentage
_MARGIN = 0.05
_HOVER = "<b>block %{x} · %{customdata[0]}</b><br>%{customdata[1]} to remove<extra></extra>"


class Share(NamedTuple):
    """The share of its weights that a layer is to lose, and that it has lost (None before it is pruned)."""

    block: int
    layer: str
    share: float
    removed: float | None


def shares_of(record: RunRecord) -> tuple[Share, ...]:
    """As the allocation gave them; of runs that say nothing of one, as the layers were pruned."""
    removed = {(layer.block, layer.layer): layer.sparsity for layer in record.layers}
    if record.allocated is None:
        return tuple(Share(block, layer, share, share) for (block, layer), share in removed.items())
    given = ((key.partition(":"), share) for key, share in record.allocated.shares.items())
    return tuple(
        Share(int(block), layer, share, removed.get((int(block), layer)))
        for (block, _, layer), share in given
    )


def applies(runs: RunSet) -> bool:
    """Where layers differ: a uniform allocation has nothing to show."""
    shares = [one.share for one in shares_of(runs.shown)]
    return bool(shares) and max(shares) - min(shares) > _EVEN


def looks(runs: RunSet) -> object:
    return runs.shown.allocated is not None, len(runs.shown.layers)


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    record = runs.shown
    return draw(shares_of(record), slots(record), depth(record), record.id, dark)


def draw(
    shares: Sequence[Share],
    marks: Mapping[str, tuple[str, str]],
    blocks: int,
    revision: str,
    dark: bool = False,
) -> go.Figure:
    """marks: kind of layer -> (marker shape, colour token). Zoom survives while `revision` stays."""
    by_kind: dict[str, list[Share]] = defaultdict(list)
    for one in shares:
        by_kind[kind_of(one.layer)].append(one)
    legend = legend_of(list(by_kind))
    plot = go.Figure(
        [_trace(legend[kind], alike, marks.get(kind, _ANY), dark) for kind, alike in by_kind.items()]
    )
    over_blocks(plot, revision, blocks, [1.0], dark)
    known = [one.share for one in shares]
    reach = [max(0.0, min(known) - _MARGIN), min(1.0, max(known) + _MARGIN)]
    axis = {"type": "linear", "tickvals": None, "ticktext": None, "tickformat": ".0%", "range": reach}
    return plot.update_yaxes(axis | {"title": {"text": "weights to remove"}})


def title(runs: RunSet) -> str:
    return finding(shares_of(runs.shown))


def finding(shares: Sequence[Share]) -> str:
    least, most = _ends(shares)
    if most.share - least.share < _SAME:
        return f"Every layer loses {percent(most.share)} of its weights"
    return f"Layers lose {percent(least.share)} to {percent(most.share)} of their weights"


def summary(runs: RunSet) -> str:
    """The chart in words, for those who do not see it."""
    return in_words(shares_of(runs.shown))


def in_words(shares: Sequence[Share]) -> str:
    """Where the least and where the most goes."""
    least, most = _ends(shares)
    return (
        f"The least goes in block {least.block}, {short_name(least.layer)} ({percent(least.share)}), the most in "
        f"block {most.block}, {short_name(most.layer)} ({percent(most.share)})."
    )


def table(runs: RunSet) -> Table:
    rows = (
        Row((str(one.block), one.layer, percent(one.share), _removed(one))) for one in shares_of(runs.shown)
    )
    return Table("What each layer was given", ("block", "layer", "to remove", "removed"), tuple(rows), "ntnn")


def sheet(runs: RunSet) -> Sheet:
    return Sheet(("block", "layer", "share", "removed"), tuple(tuple(one) for one in shares_of(runs.shown)))


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

_ANY = ("circle", "mark-8")


def _trace(name: str, shares: list[Share], slot: tuple[str, str], dark: bool) -> go.Scatter:
    shape, token = slot
    shade = colour(token, dark)
    shares = sorted(shares, key=lambda one: one.block)
    return go.Scatter(
        name=name,
        x=[one.block for one in shares],
        y=[one.share for one in shares],
        mode="lines+markers" if len({one.block for one in shares}) == len(shares) else "markers",
        line={"color": shade, "width": 1},
        marker={"color": shade, "symbol": shape, "size": 8, "line": {"color": shade, "width": 1}},
        opacity=0.9,
        customdata=[[one.layer, percent(one.share)] for one in shares],
        hovertemplate=_HOVER,
    )


def _ends(shares: Sequence[Share]) -> tuple[Share, Share]:
    """The layer that is to lose the smallest share, and the one that is to lose the largest."""
    return min(shares, key=lambda one: one.share), max(shares, key=lambda one: one.share)


def _removed(one: Share) -> str:
    return percent(one.removed) if one.removed is not None else DASH
