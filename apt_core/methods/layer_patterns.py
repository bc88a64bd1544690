"""The pattern of each layer, from the shares that an allocation gives. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from apt_core import maths
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.methods.component import LayerKey


def layer_patterns(
    pattern: Unstructured | SemiStructured, shares: Mapping[LayerKey, float], sizes: Mapping[LayerKey, int]
) -> dict[LayerKey, Unstructured | SemiStructured]:
    """Of a mixed pattern each layer has an N of its own, together as many weights as the pattern says."""
    if not isinstance(pattern, SemiStructured):
        return {key: Unstructured(sparsity=share) for key, share in shares.items()}
    weights = [sizes[key] for key in shares]
    kept = maths.shares.kept_in_groups(list(shares.values()), weights, pattern.keep, pattern.of)
    return {key: pattern.of_layer(keep) for key, keep in zip(shares, kept, strict=True)}
