"""The axes of charts that grow with a run: x = how far it is, from zero; y = what falls on held-out windows."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from apt_core.plots.look import LEGEND_ABOVE, ground, thin_axis


def over_progress(plot: go.Figure, revision: str, x: str, y: dict[str, Any], dark: bool) -> go.Figure:
    """Lay `plot` out. x: title; y: what its axis has beside the look, its title among it. Zoom and hidden traces
    survive while `revision` stays."""
    axis = thin_axis(dark) | {"nticks": 6}
    return plot.update_layout(
        **ground(dark),
        uirevision=revision,
        height=360,
        margin={"l": 62, "r": 12, "t": 34, "b": 46},
        legend=LEGEND_ABOVE,
        xaxis=axis | {"title": {"text": x, "standoff": 10}, "rangemode": "tozero"},
        yaxis=axis | y,
        showlegend=True,
    )
