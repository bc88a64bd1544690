"""The one yardstick of every method."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def relative_error(
    dense: Float[Tensor, "out in"], pruned: Float[Tensor, "out in"], gram: Float[Tensor, "in in"]
) -> float:
    """tr(D G D^T) / tr(W G W^T), D = pruned - dense: the share of the output's energy that is lost.

    G is undamped; float32 whatever the method. 0 when the dense layer gives only zeros.
    """
    energy = quadratic_trace(dense.float(), gram)
    if energy <= 0:
        return 0.0
    return quadratic_trace(pruned.float() - dense.float(), gram) / energy


def quadratic_trace(weight: Float[Tensor, "out in"], gram: Float[Tensor, "in in"]) -> float:
    """tr(W G W^T), never below 0 (rounding can leave a tiny negative)."""
    return max(float(((weight @ gram) * weight).sum()), 0.0)
