"""Aiming at the dense model's outputs, not at the outputs of dense weights on drifted inputs.

A layer deep in a pruned model gets inputs X that have drifted from the dense model's X_d. Asking its
weights for W X + a W (X_d - X) instead of W X repairs part of what earlier layers broke. The least-squares
weight for that target is

    W~ = W + a W E (G + ridge)^-1,   E = (X_d - X) X^T

and every pruning method can then start from W~. Full strength (a = 1) regresses on noisy inputs, which
shrinks the signal layer after layer, so the share stays well below one. In directions that the text hardly uses
E is mostly noise: the ridge here is the method's dampening and a tenth of every input's own energy, more than the
search for the mask needs.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from apt_core.maths.hessian import LayerStats

_RIDGE = 0.1  # of the scaled Gram matrix, whose diagonal is 1


def corrected(
    weight: Float[Tensor, "out in"], stats: LayerStats, share: float, dampening: float
) -> Float[Tensor, "out in"]:
    """W~ of the module's text; `weight` itself where the statistics hold no dense stream."""
    if not share or stats.drift is None:
        return weight
    live = ~stats.dead  # of the pruned stream; the dense one may well use the others
    inputs = stats.of_live_inputs().spectrum(dampening) if not live.all() else stats.spectrum(dampening)
    inside = ((weight @ stats.drift)[:, live] / inputs.scale) @ inputs.vectors
    change = (inside / (inputs.values + _RIDGE)) @ inputs.vectors.T / inputs.scale
    aimed = weight.clone()
    aimed[:, live] += share * change
    return aimed
