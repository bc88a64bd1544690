"""The figures of one layer's inside: mask, N:M groups, kept weights, before and after, saliencies, input norms."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import plotly.graph_objects as go

from apt_core.base.words import percent
from apt_core.measure.inside import words
from apt_core.measure.inside.values import Histogram, KeptCounts, LayerInside, Saliency, Tile
from apt_core.plots.look import LEGEND_ABOVE, ground, hover_label, thin_axis
from apt_core.plots.palette import colour


class Drawn(NamedTuple):
    """A figure with its title, and the same in words."""

    figure: go.Figure
    title: str
    summary: str


NAMES = ("mask", "groups", "kept", "change", "saliency", "norms")


def drawn(seen: LayerInside) -> dict[str, Drawn | None]:
    """Every figure by its name; None for what was not asked for."""
    return {
        "mask": _mask(seen),
        "groups": _groups(seen),
        "kept": _kept(seen),
        "change": _change(seen),
        "saliency": _saliencies(seen),
        "norms": _norms(seen),
    }


def _mask(seen: LayerInside) -> Drawn:
    even = words.is_even(seen.mask)
    tile = seen.corner if even else seen.mask
    title = f"Mask of block {seen.block}, {seen.layer}"
    rows, columns = len(tile.shares), len(tile.shares[0])
    said = words.mask_sentence(seen)
    if even:
        said = (
            f"Every cell of the whole layer loses the same; here the first {rows} × {columns} weights. {said}"
        )
    return Drawn(_heat(tile, "share removed", (0.0, 1.0), "pruned"), title, said)


def _groups(seen: LayerInside) -> Drawn | None:
    """Where groups hold the N:M pattern and where they do not; None for a mask without groups."""
    if (groups := seen.groups) is None:
        return None
    in_weights = groups.map.model_copy(update={"columns_each": groups.map.columns_each * groups.of})
    pattern = f"{groups.keep}:{groups.of}"
    worst = max(share for row in groups.map.shares for share in row)
    title = f"{'No group violates' if not groups.violating else 'Groups that violate'} {pattern}"
    said = words.groups_sentence(seen)
    if groups.violating:
        said = f"{said} In the worst cell {percent(worst)} of the groups do."
    plot = _heat(in_weights, "share of groups that violate", (0.0, worst or 1.0), "failure", "violating")
    return Drawn(plot, title, said)


def _heat(tile: Tile, name: str, span: tuple[float, float], token: str, bar: str = "removed") -> go.Figure:
    """Rows downwards as in the matrix; the axes count weights."""
    plot = go.Figure(
        go.Heatmap(
            z=[list(row) for row in tile.shares],
            x=[column * tile.columns_each for column in range(len(tile.shares[0]))],
            y=[row * tile.rows_each for row in range(len(tile.shares))],
            zmin=span[0],
            zmax=span[1],
            colorscale=[[0, colour("surface")], [1, colour(token)]],
            colorbar=_bar(bar, tickformat=".0%"),
            hovertemplate=f"from row %{{y}}, column %{{x}}<br>{name} %{{z:.1%}}<extra></extra>",
        )
    )
    return _laid_out(plot, "input (column)", "output (row)", {"autorange": "reversed"})


def _kept(seen: LayerInside) -> Drawn:
    plot = go.Figure(
        [
            _bars("rows", seen.rows, "mark-1"),
            _bars("columns", seen.columns, "mark-2"),
        ]
    )
    plot.update_layout(barmode="overlay")
    said = f"{words.kept_sentence(seen, 'row')} {words.kept_sentence(seen, 'column')}"
    return Drawn(_laid_out(plot, "kept weights", "how many"), "Kept weights per row and column", said)


def _bars(name: str, counts: KeptCounts, token: str) -> go.Bar:
    return go.Bar(name=name, **_steps(counts.histogram), marker={"color": colour(token)}, opacity=0.7)


def _steps(found: Histogram) -> dict[str, Any]:
    """Bars that stand on the bins."""
    pairs = list(pairwise(found.edges))
    return {
        "x": [(low + high) / 2 for low, high in pairs],
        "y": list(found.counts),
        "width": [high - low for low, high in pairs],
    }


def _change(seen: LayerInside) -> Drawn:
    change = seen.change
    middles = [(low + high) / 2 for low, high in pairwise(change.edges)]
    shown = [[count or None for count in row] for row in zip(*change.grid, strict=True)]  # y: stored
    plot = go.Figure(
        go.Heatmap(
            z=shown,
            x=middles,
            y=middles,
            colorscale=[[0, colour("accent-soft")], [1, colour("accent")]],
            colorbar=_bar("weights"),
            hovertemplate="dense %{x:.3g}, stored %{y:.3g}: %{z} weights<extra></extra>",
        )
    )
    plot.add_scatter(
        x=[change.edges[0], change.edges[-1]],
        y=[change.edges[0], change.edges[-1]],
        mode="lines",
        line={"color": colour("muted"), "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    return Drawn(
        _laid_out(plot, "dense weight", "stored weight"),
        "Kept weights before and after",
        f"{words.change_sentence(change)} On the dotted line nothing changed.",
    )


def _saliencies(seen: LayerInside) -> Drawn | None:
    """Of the run's own score where it is one of these, of Optimal Brain Surgeon's otherwise."""
    if seen.inputs is None:
        return None
    shown = next((one for one in seen.inputs.saliencies if one.own), seen.inputs.saliencies[-1])
    plot = go.Figure([_part(shown, "removed", "pruned"), _part(shown, "kept", "dense")])
    plot.update_layout(barmode="stack")
    if shown.threshold is not None:
        plot.add_vline(x=shown.threshold, line={"color": colour("ink"), "width": 1, "dash": "dash"})
    said = " ".join(map(words.saliency_sentence, seen.inputs.saliencies))
    if shown.threshold is not None:
        said = f"{said} The dashed line is the threshold."
    return Drawn(
        _laid_out(plot, f"log10 of {shown.formula}", "weights"),
        f"{shown.title} of what went and what stayed",
        said,
    )


def _part(shown: Saliency, name: str, token: str) -> go.Bar:
    counts = shown.removed if name == "removed" else shown.kept
    steps = _steps(Histogram(edges=shown.edges, counts=counts))
    return go.Bar(name=name, **steps, marker={"color": colour(token)})


def _norms(seen: LayerInside) -> Drawn | None:
    if (inputs := seen.inputs) is None:
        return None
    plot = go.Figure(go.Bar(**_steps(inputs.norms), marker={"color": colour("mark-3")}))
    return Drawn(
        _laid_out(plot, "log10 of an input's root mean square", "inputs"),
        "Input norms",
        words.inputs_sentence(inputs),
    )


def _bar(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, "thickness": 10, "outlinewidth": 0, "len": 0.9, **more}


def _laid_out(plot: go.Figure, x: str, y: str, vertical: dict[str, Any] | None = None) -> go.Figure:
    axis = thin_axis()
    plot.update_layout(
        **ground(),
        height=340,
        margin={"l": 62, "r": 8, "t": 34, "b": 46},
        hoverlabel=hover_label(),
        legend=LEGEND_ABOVE,
        xaxis=axis | {"title": {"text": x}},
        yaxis=axis | {"title": {"text": y}} | (vertical or {}),
        bargap=0.05,
    )
    return plot
