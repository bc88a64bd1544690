"""What went of a model that became smaller: each block's score, or how much of its heads and channels mattered."""

from __future__ import annotations

from typing import NamedTuple

import plotly.graph_objects as go

from apt_core.base.words import DASH, count, number, percent
from apt_core.events import Narrowed, Shrunk
from apt_core.plots.block_axes import over_blocks
from apt_core.plots.chart import Chart, Row, RunSet, Sheet, Table
from apt_core.plots.palette import colour

_STAYS, _GOES = "dense", "pruned"  # names of colours
_HOVER = "<b>block %{x}</b><br>%{customdata}<extra></extra>"


class Bar(NamedTuple):
    """What a chart says of a block. value: None where it has no score."""

    block: int
    name: str  # of the value: "Block Influence ...", or of the structure
    value: float | None
    removed: bool
    fate: str  # "removed", "stays", or, where blocks differ in width, "6 of 9 stay"


def bars_of(shrunk: Shrunk) -> tuple[Bar, ...]:
    """The score of each block; where every block stays the share of the importance that it lost, by structure."""
    if shrunk.removed_blocks:
        scores = shrunk.scores or (None,) * shrunk.blocks
        return tuple(
            Bar(block, shrunk.score or "place", score, gone, "removed" if gone else "stays")
            for block, score in enumerate(scores)
            for gone in [block not in shrunk.kept]
        )
    return tuple(
        Bar(block, one.name, share, False, _left(one, block))
        for one in shrunk.widths
        for block, share in enumerate(one.lost)
    )


def _left(one: Narrowed, block: int) -> str:
    return f"{one.of_block(block):,} of {one.before:,} stay" if one.by_block else "stays"


def applies(runs: RunSet) -> bool:
    return runs.shown.shrunk is not None


def looks(runs: RunSet) -> object:
    return runs.shown.shrunk is not None


def title(runs: RunSet) -> str:
    shrunk = _shrunk(runs)
    parameters = f"{count(shrunk.dense_parameters)} parameters became {count(shrunk.parameters)}"
    gone = shrunk.removed_blocks
    if gone:
        return f"{len(gone)} of {shrunk.blocks} blocks went: {parameters}"
    return f"{'Blocks differ in width' if shrunk.uneven else 'Every block is narrower'}: {parameters}"


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    shrunk, plot = _shrunk(runs), go.Figure()
    for name, bars in _traces(shrunk).items():
        plot.add_bar(
            name=name,
            x=[bar.block for bar in bars],
            y=[_height(bar) for bar in bars],
            marker={"color": colour(_GOES if any(bar.removed for bar in bars) else _shade(name), dark)},
            customdata=[_hover(bar) for bar in bars],
            hovertemplate=_HOVER,
        )
    over_blocks(plot, runs.shown.id, shrunk.blocks, [1.0], dark)
    scored = "score" if shrunk.score else "stays (1)"
    what = scored if shrunk.removed_blocks else "importance that went"
    axis = {"type": "linear", "tickvals": None, "ticktext": None, "range": None, "autorange": True}
    return plot.update_yaxes(axis | {"title": {"text": what}}).update_layout(barmode="group")


def summary(runs: RunSet) -> str:
    """The chart in words, for those who do not see it."""
    shrunk = _shrunk(runs)
    if gone := shrunk.removed_blocks:
        numbers = ", ".join(map(str, gone))
        how = f" Their scores are the lowest ({shrunk.score})." if shrunk.score else ""
        return f"Of {shrunk.blocks} blocks these went: {numbers}.{how}"
    said = [
        f"{one.staying} stay in {'a' if one.by_block else 'every'} block"
        + (
            f", which lost {percent(min(one.lost))} to {percent(max(one.lost))} of their importance"
            if one.lost
            else ""
        )
        for one in shrunk.widths
    ]
    return f"{'; '.join(said)}."


def table(runs: RunSet) -> Table:
    shrunk = _shrunk(runs)
    rows = tuple(
        Row((str(bar.block), bar.name, DASH if bar.value is None else number(bar.value), bar.fate))
        for bar in bars_of(shrunk)
    )
    return Table("What went", ("block", "what was measured", "value", "block"), rows, "ntnt")


def sheet(runs: RunSet) -> Sheet:
    rows = tuple((bar.block, bar.name, bar.value, bar.removed) for bar in bars_of(_shrunk(runs)))
    return Sheet(("block", "measure", "value", "removed"), rows)


CHART = Chart(
    name="structures",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    views=("overview", "layers"),
    place=15,
)


def _shrunk(runs: RunSet) -> Shrunk:
    assert runs.shown.shrunk is not None  # `applies` has said so
    return runs.shown.shrunk


def _traces(shrunk: Shrunk) -> dict[str, list[Bar]]:
    """Legend -> bars: blocks by whether they stay, structures by their name."""
    found: dict[str, list[Bar]] = {}
    for bar in bars_of(shrunk):
        name = bar.name if not shrunk.removed_blocks else "removed" if bar.removed else "stays"
        found.setdefault(name, []).append(bar)
    return found


def _shade(name: str) -> str:
    return {"stays": _STAYS, "attention heads": "mark-1"}.get(name, "mark-2")


def _height(bar: Bar) -> float | None:
    """Blocks without a score (the last ones went) are drawn as there or not."""
    return bar.value if bar.value is not None else None if bar.name != "place" else float(not bar.removed)


def _hover(bar: Bar) -> str:
    value = DASH if bar.value is None else number(bar.value)
    return f"{bar.name}: {value} ({bar.fate})"
