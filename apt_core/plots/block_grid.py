"""A heat map of blocks and projections: x = block, y = projection by its name, one cell for each layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import plotly.graph_objects as go

from apt_core.events.projections import kind_of
from apt_core.plots.block_axes import block_axis
from apt_core.plots.layer_marks import legend_of
from apt_core.plots.look import ground, hover_label
from apt_core.plots.palette import colour

_CELL = 30  # pixels that a projection takes
_ABOVE, _BELOW = 76, 46  # the colour bar with its words, the axis with its title
_WORDS, _LETTER = 20, 8  # pixels
# In the container: a bar that is placed by the plot makes plotly move the plot away from its axis title.
_BAR = {"orientation": "h", "x": 0, "xanchor": "left", "yref": "container", "yanchor": "top"}
_BAR |= {"thickness": 10, "len": 1, "xpad": 0, "ypad": 2, "tickangle": 0}


class Cell(NamedTuple):
    """What is drawn of one layer: its colour (None for no colour), the words of its hover, the key of its row."""

    block: int
    layer: str
    level: float | None
    words: str
    key: str


class Scale(NamedTuple):
    """What the colours of a heat map mean."""

    tokens: tuple[str, ...]
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    title: str


def grid(cells: Iterable[Cell], blocks: int, scale: Scale, revision: str, dark: bool) -> go.Figure:
    """Experts of one block share a cell, which shows their mean."""
    by_place: dict[str, dict[int, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        by_place[kind_of(cell.layer)][cell.block].append(cell)
    kinds = list(by_place)
    legend = legend_of(kinds)
    rows = [[by_place[kind].get(block, []) for block in range(blocks)] for kind in kinds]
    plot = go.Figure(
        go.Heatmap(
            x=list(range(blocks)),
            y=[legend[kind] for kind in kinds],
            z=[[_mean(found) for found in row] for row in rows],
            customdata=[[_said(found) for found in row] for row in rows],
            meta=["grid"],
            hovertemplate="%{customdata[0]}<extra></extra>",
            hoverongaps=False,
            xgap=1,
            ygap=1,
            zmin=scale.low,
            zmax=scale.high,
            colorscale=[
                [place / (len(scale.tokens) - 1), colour(token, dark)]
                for place, token in enumerate(scale.tokens)
            ],
            colorbar=_BAR
            | {
                "y": 1 - _WORDS / _height(len(kinds)),
                "tickvals": [tick for tick, _ in scale.ticks],
                "ticktext": [text for _, text in scale.ticks],
                "outlinewidth": 0,
            },
        )
    )
    plot.add_annotation(
        {
            "xref": "paper",
            "x": 0,
            "xanchor": "left",
            "yref": "paper",
            "y": 1,
            "yanchor": "top",
            "yshift": _ABOVE,
        }
        | {"text": scale.title, "showarrow": False, "font": {"size": 13}}
    )
    return _laid_out(plot, [legend[kind] for kind in kinds], blocks, revision, dark)


def _height(kinds: int) -> int:
    return _ABOVE + _BELOW + _CELL * max(kinds, 1)


def _laid_out(plot: go.Figure, names: list[str], blocks: int, revision: str, dark: bool) -> go.Figure:
    axis = {"showgrid": False, "zeroline": False, "ticks": "", "linecolor": colour("line", dark)}
    return plot.update_layout(
        **ground(dark),
        uirevision=revision,
        height=_height(len(names)),
        margin={"l": 24 + _LETTER * max(map(len, names), default=0), "r": 16, "t": _ABOVE, "b": _BELOW},
        hoverlabel=hover_label(dark) | {"align": "left"},
        xaxis=axis | block_axis(blocks),
        yaxis=axis | {"type": "category", "autorange": "reversed", "fixedrange": True, "dtick": 1},
    )


def _mean(found: list[Cell]) -> float | None:
    levels = [cell.level for cell in found if cell.level is not None]
    return sum(levels) / len(levels) if levels else None


def _said(found: list[Cell]) -> list[Any]:
    """What hovering says, then what a click says and the key of the row that it selects."""
    if not found:
        return ["", "", ""]
    first, more = found[0], len(found) - 1
    words = first.words + (f"<br>and {more} more experts; the colour is their mean" if more else "")
    return [words, words.replace("<br>", ", ").replace("<b>", "").replace("</b>", ""), first.key]
