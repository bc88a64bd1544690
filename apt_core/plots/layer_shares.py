"""What an allocation gives each layer, before a run: drawn as what a run was given is, and as a table of blocks."""

from __future__ import annotations

from collections import defaultdict

from apt_core.events.projections import kind_of
from apt_core.measure.layer_shares import LayerShare, LayerShares
from apt_core.plots import allocation
from apt_core.plots.allocation import Share
from apt_core.plots.inside_layer import Drawn
from apt_core.plots.layer_marks import legend_of, slots_of

_REVISION = "allocation"  # the chart keeps its zoom while layers are held


def drawn(found: LayerShares) -> Drawn:
    shares = [Share(one.block, one.layer, one.sparsity, None) for one in found.layers]
    blocks = 1 + max(one.block for one in found.layers)
    plot = allocation.draw(shares, slots_of(one.layer for one in found.layers), blocks, _REVISION)
    title = f"{found.allocation} at {found.pattern}: {_small(allocation.finding(shares))}"
    return Drawn(plot, title, allocation.in_words(shares))


def by_block(found: LayerShares) -> tuple[dict[str, str], dict[int, dict[str, list[LayerShare]]]]:
    """(kind of layer -> its short name, block -> kind -> the layers of that kind in this block, experts together)."""
    cells: dict[int, dict[str, list[LayerShare]]] = defaultdict(lambda: defaultdict(list))
    for one in found.layers:
        cells[one.block][kind_of(one.layer)].append(one)
    kinds = list(dict.fromkeys(kind_of(one.layer) for one in found.layers))
    return legend_of(kinds), {block: dict(of_one) for block, of_one in cells.items()}


def mean_of(layers: list[LayerShare]) -> float:
    """What these layers lose together."""
    return sum(one.removed for one in layers) / max(sum(one.weights for one in layers), 1)


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]
