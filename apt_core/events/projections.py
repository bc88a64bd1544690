"""The layers of a run as projections: rows that are separate projections listed apart, experts together. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from apt_core.events import LayerPruned

_EXPERT = re.compile(r"\.\d+\.")


def kind_of(layer: str) -> str:
    """'mlp.experts.3.down_proj' -> 'mlp.experts.down_proj': all experts of a block are of one kind."""
    return _EXPERT.sub(".", layer)


def part_name(layer: str, part: str) -> str:
    """'mixer.in_proj[B]'"""
    return f"{layer}[{part}]"


def split(layer: LayerPruned) -> tuple[LayerPruned, ...]:
    """A layer whose rows are several projections as one layer for each, any other as it is."""
    return parts_of(layer) or (layer,)


def parts_of(layer: LayerPruned) -> tuple[LayerPruned, ...]:
    """The projections that a layer's rows are, each as a layer; none when it is one projection.

    Exactness, dampening and time are those of the whole: it was pruned in one go.
    """
    return tuple(
        layer.model_copy(
            update={
                "layer": part_name(layer.layer, part.name),
                "shape": (part.rows, layer.shape[1]),
                "removed": part.removed,
                "sparsity": part.sparsity,
                "relative_error": part.relative_error,
                "parts": (),
            }
        )
        for part in layer.parts
    )


def names(layers: Iterable[str], parts: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The same of names alone. parts: of the layers that have some."""
    return [
        name
        for layer in layers
        for name in ([part_name(layer, part) for part in parts[layer]] if layer in parts else [layer])
    ]
