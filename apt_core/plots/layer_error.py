"""The error of every pruned layer: x = block, y = relative error (log), one trace per projection.

Rows that are a projection of their own (Mamba) are a trace of their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import fmean

import plotly.graph_objects as go

from apt_core.base.words import fold, number
from apt_core.events import LayerPruned
from apt_core.events.projections import kind_of, names, split
from apt_core.events.records import RunRecord
from apt_core.plots.block_axes import over_blocks
from apt_core.plots.palette import colour

# Shape and colour token of each kind of projection; others take the free ones in order.
_KNOWN = {
    "q": ("circle", "mark-1"),
    "k": ("square", "mark-2"),
    "v": ("diamond", "mark-3"),
    "o": ("triangle-up", "mark-4"),
    "gate": ("triangle-down", "mark-5"),
    "up": ("pentagon", "mark-6"),
    "down": ("x", "mark-7"),
}
_OTHERS = (
    ("star", "mark-8"),
    ("hexagon", "mark-3"),
    ("cross", "mark-1"),
    ("bowtie", "mark-2"),
    ("hourglass", "mark-4"),
    ("circle-open", "mark-5"),
    ("square-open", "mark-7"),
)
_HOVER = (
    "<b>block %{x} · %{customdata[0]}</b><br>relative error %{customdata[1]}<br>"
    "%{customdata[2]} removed exactly: %{customdata[3]}<br>shape %{customdata[4]} · %{customdata[5]}"
    "<extra></extra>"
)


def short_name(layer: str) -> str:
    """'self_attn.q_proj' -> 'q', 'mlp.fc1' -> 'fc1', 'mixer.in_proj[B]' -> 'in B'."""
    name, _, part = layer.rsplit(".", 1)[-1].removesuffix("]").partition("[")
    return " ".join([name.removesuffix("_proj"), part]).rstrip()


def _legend(kinds: list[str]) -> dict[str, str]:
    """The short name, with its place in front where two kinds share it (experts.down, shared_expert.down)."""
    short = Counter(map(short_name, kinds))
    return {
        kind: ".".join([*kind.split(".")[-2:-1], short_name(kind)])
        if short[short_name(kind)] > 1
        else short_name(kind)
        for kind in kinds
    }


def figure(record: RunRecord, dark: bool = False) -> go.Figure:
    """The chart of what is known so far; its x axis is already as wide as the model is deep."""
    plot = go.Figure([_trace(*group, record, dark) for group in _groups(record)])
    errors = [layer.relative_error for layer in record.layers]
    return over_blocks(plot, record.id, _blocks(record), errors, dark)


def title(record: RunRecord) -> str:
    """The finding once the run is over, a plain name before."""
    if record.status != "finished" or not record.layers:
        return "Error of each layer"
    return f"{_growth(record.layers)}; {_leader(record.layers)} projections lead"


def summary(record: RunRecord) -> str:
    """The chart in words, for those who do not see it."""
    if not record.layers:
        return "No layer has been pruned yet; the axis is ready for every block of the model."
    worst = max(record.layers, key=lambda layer: layer.relative_error)
    best = min(record.layers, key=lambda layer: layer.relative_error)
    valid = sum(layer.pattern_valid for layer in record.layers)
    return (
        f"{len(record.layers)} of {_total(record)} layers. Mean relative error "
        f"{number(record.mean_relative_error or 0)}; smallest {number(best.relative_error)} ({_place(best)}), "
        f"largest {number(worst.relative_error)} ({_place(worst)}). "
        f"{_exactly(record)} in {valid} of {len(record.layers)}."
    )


def _exactly(record: RunRecord) -> str:
    pattern = record.job.pattern
    if record.job.method.budget_reach(pattern):
        return "Exactly the layer's own share removed"
    return f"Pattern {pattern.label} kept" if pattern.kind == "n:m" else f"Exactly {pattern.label} removed"


def slots(record: RunRecord) -> dict[str, tuple[str, str]]:
    """Kind of layer -> (marker shape, colour token), the same for every run of a model."""
    model = record.model
    known = names(model.layers, model.parts) if model else []
    met = [part.layer for layer in record.layers for part in split(layer)]
    kinds = list(dict.fromkeys(map(kind_of, [*known, *met])))
    free = iter(_OTHERS * (1 + len(kinds) // len(_OTHERS)))
    return {kind: _KNOWN.get(short_name(kind)) or next(free) for kind in kinds}


def _groups(record: RunRecord):
    by_name: dict[str, list[LayerPruned]] = defaultdict(list)
    for layer in record.layers:
        for part in split(layer):
            by_name[kind_of(part.layer)].append(part)
    known = slots(record)
    legend = _legend(list(known))
    for name, slot in known.items():
        yield name, legend[name], sorted(by_name[name], key=lambda layer: layer.block), slot


def _trace(
    name: str, short: str, layers: list[LayerPruned], slot: tuple[str, str], record: RunRecord, dark: bool
) -> go.Scatter:
    shape, token = slot
    shade = colour(token, dark)
    return go.Scatter(
        name=short,
        x=[layer.block for layer in layers] or [None],  # a kind without points keeps its place in the legend
        y=[layer.relative_error or None for layer in layers] or [None],  # no logarithm of an exact zero
        mode="lines+markers" if len({layer.block for layer in layers}) == len(layers) else "markers",
        line={"color": shade, "width": 1},
        marker={"color": shade, "symbol": shape, "size": 8, "line": {"color": shade, "width": 1}},
        opacity=0.9,
        customdata=[_hover(layer, record) for layer in layers],
        meta=[name],
        hovertemplate=_HOVER,
    )


def _hover(layer: LayerPruned, record: RunRecord) -> list[str]:
    rows, columns = layer.shape
    exact = "yes" if layer.pattern_valid else "NO"
    removed = f"{layer.sparsity:.2%}".replace(".00%", "%")
    pattern = record.job.pattern.label
    return [
        layer.layer,
        number(layer.relative_error),
        removed,
        f"{exact} ({pattern})",
        f"{rows} × {columns}",
        f"{layer.seconds:.2f} s",
    ]


def _growth(layers: tuple[LayerPruned, ...]) -> str:
    first, last = min(layer.block for layer in layers), max(layer.block for layer in layers)
    if first == last:
        return f"One block, mean error {number(fmean(layer.relative_error for layer in layers))}"
    start, end = _block_error(layers, first), _block_error(layers, last)
    if start <= 0 or end <= 0 or 0.8 < end / start < 1.25:
        return f"Error is about even from block {first} to {last}"
    if end > start:
        return f"Error grows {fold(end / start)} from block {first} to {last}"
    return f"Error shrinks {fold(start / end)} from block {first} to {last}"


def _leader(layers: tuple[LayerPruned, ...]) -> str:
    errors: dict[str, list[float]] = defaultdict(list)
    for layer in layers:
        errors[kind_of(layer.layer)].append(layer.relative_error)
    return _legend(list(errors))[max(errors, key=lambda kind: fmean(errors[kind]))]


def _block_error(layers: tuple[LayerPruned, ...], block: int) -> float:
    return fmean(layer.relative_error for layer in layers if layer.block == block)


def _blocks(record: RunRecord) -> int:
    return (
        record.model.blocks if record.model else 1 + max((layer.block for layer in record.layers), default=-1)
    )


def _total(record: RunRecord) -> int:
    return record.model.total_layers if record.model else len(record.layers)


def _place(layer: LayerPruned) -> str:
    return f"block {layer.block}, {short_name(layer.layer)}"
