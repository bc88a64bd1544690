"""ALPS as published (arXiv 2406.07831 and its code): ADMM with a penalty that follows the mask's changes.

The fixed constants below are the paper's and its code's, not ours.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.errors import NotPositiveDefinite
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths import pattern as patterns
from apt_core.maths.admm import Projection
from apt_core.maths.hessian import factorising
from apt_core.maths.zeros import zeroed_

_FIRST_RHO, _LARGEST_RHO = 0.1, 1e6
_STEPS, _CHECK_EVERY, _SETTLED_AFTER = 300, 3, 30
_SETTLED = 3e-4  # share of the kept weights that may still change places


def alps_mask(
    weight: Float[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    pattern: Unstructured | SemiStructured,
) -> tuple[Bool[Tensor, "out in"], Float[Tensor, "out in"]]:
    """(pruned, weight): what goes, and the weights as the search left them, zero there.

    hessian: the dampened Gram matrix. Raises NotPositiveDefinite.
    """
    scale = hessian.diagonal().sqrt()  # never 0: dampened. The code's + 1e-8 would be a claim about the unit
    normal = hessian / (scale * scale.unsqueeze(1))
    start = weight * scale
    target = start @ normal
    values, vectors = _eigen(normal)
    project = Projection(pattern, start, sample=None)
    rho, grew = _FIRST_RHO, False
    kept, dual = project(start), torch.zeros_like(start)
    support = kept != 0
    inverse = (vectors / (values + rho)) @ vectors.T
    for step in range(1, _STEPS + 1):
        solved = (target - dual + rho * kept) @ inverse
        kept = project(solved + dual / rho)
        dual += rho * (solved - kept)
        if step % _CHECK_EVERY:
            continue
        before, support = support, kept != 0
        changed = int((before ^ support).sum()) / max(int(before.sum()), 1)
        if (changed == 0 and grew) or (step > _SETTLED_AFTER and changed < _SETTLED):
            break
        old = rho
        if changed > 0.1:
            rho, grew = rho * 1.3, True
        elif changed > 0.005:
            rho, grew = rho * 1.2, True
        elif changed > 0 and grew:
            rho *= 1.1
        else:  # far too stiff from the start: begin again with a smaller penalty
            rho /= 5
            if changed > 0 and step < _STEPS:
                kept, dual = project(start), torch.zeros_like(start)
        rho = min(rho, _LARGEST_RHO)
        if rho != old:
            inverse = (vectors / (values + rho)) @ vectors.T
    pruned = patterns.choose_in_matrix(kept.abs(), pattern)
    return pruned, zeroed_(solved / scale, pruned)


def _eigen(normal: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and vectors, in float64 where the device has it, back in float32."""
    exact = normal if normal.device.type == "mps" else normal.double()
    with factorising():
        values, vectors = torch.linalg.eigh(exact)
    if not values[0] > 0:
        raise NotPositiveDefinite
    return values.float(), vectors.float()
