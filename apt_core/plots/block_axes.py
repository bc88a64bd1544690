"""The axes that charts of errors share: x = block, as wide as the model is deep; y = relative error, log."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from apt_core.plots.look import LEGEND_ABOVE, ground, hover_label, thin_axis

_FEWEST = 3  # labels that an axis needs to be read
_MANY_DECADES = 2.5  # beyond these only whole decades have a line


def over_blocks(
    plot: go.Figure, revision: str, blocks: int, errors: Sequence[float], dark: bool
) -> go.Figure:
    """Lay `plot` out. errors: all that it shows; zoom and hidden traces survive while `revision` stays."""
    axis = thin_axis(dark) | {"title": {"standoff": 10}}
    plot.update_layout(
        **ground(dark),
        uirevision=revision,
        height=360,
        margin={"l": 62, "r": 8, "t": 34, "b": 46},
        hoverlabel=hover_label(dark) | {"align": "left"},
        legend=LEGEND_ABOVE,
        xaxis=axis | block_axis(blocks),
        yaxis=axis | {"type": "log", **error_ticks(errors), "title": {"text": "relative error (log scale)"}},
        showlegend=True,
    )
    if not errors:
        plot.update_yaxes(range=[-3, 0])
    return plot


def block_axis(blocks: int) -> dict:
    """As wide as the model is deep, whole numbers only; blank while the depth is not known."""
    if not blocks:
        return {"range": [0, 1], "showticklabels": False, "title": {"text": "block"}}
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if blocks / step <= 12 or step == 100)
    return {"range": [-0.5, blocks - 0.5], "tick0": 0, "dtick": step, "title": {"text": "block"}}


def error_ticks(errors: Sequence[float]) -> dict:
    """1, 2 and 5 of every decade, or decades alone when there are many; said without exponents. Where fewer than three
    of them lie between the errors, plotly chooses."""
    positive = [error for error in errors if error > 0]
    wide = bool(positive) and max(positive) / min(positive) > 10**_MANY_DECADES
    ticks = [digit * 10.0**power for power in range(-9, 4) for digit in ((1,) if wide else (1, 2, 5))]
    if positive and sum(min(positive) <= tick <= max(positive) for tick in ticks) < _FEWEST:
        return {"tickmode": "auto", "nticks": 6, "exponentformat": "none", "minexponent": 9}
    return {"tickvals": ticks, "ticktext": [f"{tick:.10f}".rstrip("0").rstrip(".") for tick in ticks]}
