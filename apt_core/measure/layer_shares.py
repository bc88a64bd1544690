"""What an allocation gives each layer, as values: known before anything is removed. No torch."""

from __future__ import annotations

from typing import Any, Literal

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.values import Frozen
from apt_core.methods.component import Allocation, DenseModel, LayerKey
from apt_core.methods.layer_patterns import layer_patterns


class LayerShare(Frozen):
    """sparsity: the share of its weights that the layer is to lose."""

    block: int
    layer: str
    weights: int
    sparsity: float

    @property
    def removed(self) -> int:
        return min(round(self.weights * self.sparsity), self.weights)

    @property
    def name(self) -> str:
        """As options name a layer: '3:mlp.down_proj'."""
        return f"{self.block}:{self.layer}"


class LayerShares(Frozen):
    """Of all layers that a run would prune, in their order. title: of the model; allocation and pattern: as tables call
    them; seconds: that finding them took."""

    kind: Literal["allocation"] = "allocation"
    title: str
    allocation: str
    pattern: str
    layers: tuple[LayerShare, ...]
    seconds: float = 0.0

    @property
    def weights(self) -> int:
        return sum(one.weights for one in self.layers)

    @property
    def removed(self) -> int:
        return sum(one.removed for one in self.layers)

    @property
    def sparsity(self) -> float:
        """Of all these layers together."""
        return self.removed / max(self.weights, 1)

    @property
    def sizes(self) -> dict[LayerKey, int]:
        return {(one.block, one.layer): one.weights for one in self.layers}

    @property
    def start(self) -> str:
        """As the allocation by hand begins with it: '0:mlp.up_proj=0.4, 1:mlp.up_proj=0.6'."""
        return ", ".join(f"{one.name}={one.sparsity:.6g}" for one in self.layers)

    def as_json(self) -> dict[str, Any]:
        """As one JSON object, with counts of removed weights, and `start` for an allocation by hand."""
        layers = [one.model_dump() | {"removed": one.removed} for one in self.layers]
        whole = {"weights": self.weights, "removed": self.removed, "sparsity": self.sparsity}
        return {**self.model_dump(exclude={"kind", "layers"}), **whole, "layers": layers, "start": self.start}


def given_by(
    allocation: Allocation, dense: DenseModel, pattern: Unstructured | SemiStructured
) -> tuple[LayerShare, ...]:
    """What each layer is given, as a run would; a layer of which the allocation says nothing has the pattern's share.

    Raises BadOption where the allocation cannot bring the whole to the pattern's sparsity.
    """
    shares = allocation.shares(dense, pattern) or {}
    own = layer_patterns(pattern, shares, dense.sizes)
    return tuple(
        LayerShare(block=block, layer=name, weights=size, sparsity=own.get((block, name), pattern).sparsity)
        for (block, name), size in dense.sizes.items()
    )
