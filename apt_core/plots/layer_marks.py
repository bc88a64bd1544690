"""How charts distinguish the layers of a block: by name, marker shape and colour."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from apt_core.events import LayerPruned
from apt_core.events.projections import kind_of, names, split
from apt_core.events.records import RunRecord

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


class Group(NamedTuple):
    """The layers of one kind, from the first block to the last, and their mark."""

    kind: str
    legend: str
    layers: list[LayerPruned]
    shape: str
    token: str  # of the colour


def groups(record: RunRecord) -> Iterator[Group]:
    """One for every kind of layer that the model has, also before the first of them is pruned."""
    by_kind: dict[str, list[LayerPruned]] = defaultdict(list)
    for layer in record.layers:
        for part in split(layer):
            by_kind[kind_of(part.layer)].append(part)
    known = slots(record)
    legend = legend_of(list(known))
    for kind, (shape, token) in known.items():
        yield Group(kind, legend[kind], sorted(by_kind[kind], key=lambda layer: layer.block), shape, token)


def slots(record: RunRecord) -> dict[str, tuple[str, str]]:
    """Kind of layer -> (marker shape, colour token), the same for every run of a model."""
    model = record.model
    known = names(model.layers, model.parts) if model else []
    met = [part.layer for layer in record.layers for part in split(layer)]
    return slots_of([*known, *met])


def slots_of(layers: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The same for layers of these names, in their order."""
    kinds = list(dict.fromkeys(map(kind_of, layers)))
    free = iter(_OTHERS * (1 + len(kinds) // len(_OTHERS)))
    return {kind: _KNOWN.get(short_name(kind)) or next(free) for kind in kinds}


def short_name(layer: str) -> str:
    """'self_attn.q_proj' -> 'q', 'mlp.fc1' -> 'fc1', 'mixer.in_proj[B]' -> 'in B'."""
    name, _, part = layer.rsplit(".", 1)[-1].removesuffix("]").partition("[")
    return " ".join([name.removesuffix("_proj"), part]).rstrip()


def legend_of(kinds: list[str]) -> dict[str, str]:
    """The short name, with its place in front where two kinds share it (experts.down, shared_expert.down)."""
    short = Counter(map(short_name, kinds))
    return {
        kind: ".".join([*kind.split(".")[-2:-1], short_name(kind)])
        if short[short_name(kind)] > 1
        else short_name(kind)
        for kind in kinds
    }


def place(layer: LayerPruned) -> str:
    """'block 3, down'"""
    return f"block {layer.block}, {short_name(layer.layer)}"


def depth(record: RunRecord) -> int:
    """Blocks of the model; of those that were pruned while it is not known."""
    known = record.model.blocks if record.model else 0
    return known or 1 + max((layer.block for layer in record.layers), default=-1)
