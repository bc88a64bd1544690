"""The error of each block of a run as a line, for charts that draw several runs over one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import plotly.graph_objects as go

from apt_core.base.words import number
from apt_core.plots.look import NO_POINT
from apt_core.plots.palette import colour

_A_NAME = 20  # pixels that a name takes above the plot on a narrow screen, where each has a line to itself
_HOVER = "<b>%{fullData.name}</b><br>block %{x}: mean relative error %{customdata}<extra></extra>"


class Stroke(NamedTuple):
    """How wide a line is, and how large its marks are."""

    width: float
    mark: int


def block_curve(
    run_id: str, name: str, curve: Mapping[int, float], mark: tuple[str, str], stroke: Stroke, dark: bool
) -> go.Scatter:
    """curve: block -> mean relative error. mark: (marker shape, colour token)."""
    shape, shade = mark[0], colour(mark[1], dark)
    return go.Scatter(
        uid=run_id,  # a run that comes or goes leaves the others hidden or shown as they are
        name=name,
        x=[*curve] or NO_POINT,
        y=[error or None for error in curve.values()] or NO_POINT,  # no logarithm of an exact zero
        mode="lines+markers",
        line={"color": shade, "width": stroke.width},
        marker={
            "color": shade,
            "symbol": shape,
            "size": stroke.mark,
            "line": {"color": shade, "width": 1},
        },
        customdata=[number(error) for error in curve.values()],
        hovertemplate=_HOVER,
    )


def room_for_names(curves: int, fit: int) -> dict[str, Any]:
    """The `meta` of a figure that is taller on a narrow screen, where more than `fit` names need lines."""
    return {"narrowHeight": 360 + _A_NAME * max(0, curves - fit)}
