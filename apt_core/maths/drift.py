"""Aiming at the dense model's outputs, not at the outputs of dense weights on drifted inputs.

A layer deep in a pruned model gets inputs X that have drifted from the dense model's X_d. Asking its
weights for W X + a W (X_d - X) instead of W X repairs part of what earlier layers broke. The least-squares
weight for that target is

    W~ = W + a W E (G + ridge)^-1,   E = (X_d - X) X^T

and every pruning method can then start from W~. Full strength (a = 1) regresses on noisy inputs, which
shrinks the signal layer after layer, so the share stays well below one.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from apt_core.maths.hessian import LayerStats


def corrected(
    weight: Float[Tensor, "out in"], stats: LayerStats, share: float, dampening: float
) -> Float[Tensor, "out in"]:
    """W~ of the module's text; `weight` itself where the statistics hold no dense stream."""
    if not share or stats.drift is None:
        return weight
    factor = stats.inverse_factor(dampening)
    return weight + share * (weight @ stats.drift) @ factor.T @ factor
