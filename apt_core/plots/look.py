"""What the figures of all charts look like: a clear ground, the page's font, thin axes, the legend above the plot.

The ground is clear because the page shows through it, in light and in dark.
"""

from __future__ import annotations

from typing import Any

from apt_core.plots.palette import FONT, colour

CLEAR = "rgba(0,0,0,0)"
LEGEND_ABOVE = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"}
NO_POINT: list[Any] = [None]  # of a trace that is drawn before it has any, so that the legend names it


def font(dark: bool = False) -> dict[str, Any]:
    return {"family": FONT, "size": 13, "color": colour("muted", dark)}


def ground(dark: bool = False) -> dict[str, Any]:
    """The part of a layout that is the same for every chart."""
    return {"paper_bgcolor": CLEAR, "plot_bgcolor": CLEAR, "font": font(dark)}


def thin_axis(dark: bool = False) -> dict[str, Any]:
    """Lines of a grid alone: no ticks, and zero is a line like any other."""
    line = colour("line", dark)
    return {"gridcolor": line, "linecolor": line, "zeroline": False, "ticks": ""}


def hover_label(dark: bool = False) -> dict[str, Any]:
    return {
        "bgcolor": colour("surface", dark),
        "bordercolor": colour("line", dark),
        "font": {"color": colour("ink", dark), "family": FONT, "size": 13},
    }
