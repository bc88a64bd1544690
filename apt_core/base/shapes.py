"""The measures of a linear layer."""

from __future__ import annotations

from apt_core.base.values import Frozen


class LayerShape(Frozen):
    """One linear layer of a decoder block."""

    name: str  # inside the block, e.g. "self_attn.q_proj"
    out_features: int
    in_features: int
    reads: str = ""  # the first of the layers of its block that are handed the same tensor
    in_attention: bool = False  # what the projections before it gave waits there with its input

    @property
    def input(self) -> str:
        """Layers that are handed the same tensor have this in common."""
        return self.reads or self.name

    @property
    def weights(self) -> int:
        return self.out_features * self.in_features
