"""Aiming at the dense model's outputs, not at the outputs of dense weights on drifted inputs.

A layer deep in a pruned model gets inputs X that have drifted from the dense model's X_d, and writes into a
residual stream r that has drifted from r_d. Asking its weights for W X + a W (X_d - X) + b (r_d - r) instead
of W X repairs part of what earlier layers broke. The least-squares weight for that target is

    W~ = W + (a W E + b F) (G + ridge)^-1,   E = (X_d - X) X^T,   F = (r_d - r) X^T

and every pruning method then starts from W~. Full strength (a = 1) regresses on noisy inputs and shrinks
the signal layer after layer, so both are shares well below one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from apt_core.maths.hessian import LayerStats, dampened


def corrected(
    weight: Float[Tensor, "out in"], stats: LayerStats, inputs: float, residual: float, dampening: float
) -> Float[Tensor, "out in"]:
    """W~ of the module's text; `weight` itself where the statistics hold no dense stream."""
    change = torch.zeros_like(weight)
    if inputs and stats.input_drift is not None:
        change += inputs * (weight @ stats.input_drift)
    if residual and stats.residual_drift is not None:
        change += residual * stats.residual_drift
    factor = stats.inverse_factor(dampening)
    return weight + change @ factor.T @ factor
