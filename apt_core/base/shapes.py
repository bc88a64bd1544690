"""The measures of a linear layer."""

from __future__ import annotations

from apt_core.base.values import Frozen


class LayerShape(Frozen):
    """One linear layer of a decoder block."""

    name: str  # inside the block, e.g. "self_attn.q_proj"
    out_features: int
    in_features: int

    @property
    def weights(self) -> int:
        return self.out_features * self.in_features
