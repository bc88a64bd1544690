"""ADMM with a mask that grows cubically (arXiv 2401.02938, algorithm 1 and section 3.4).

The authors' published code grows the mask for N:M (which this follows) and, where it compares the whole matrix, takes
the final sparsity from the first step on; here the mask grows in both, as the paper has it.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.errors import NotPositiveDefinite
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths import pattern as patterns
from apt_core.maths.zeros import zeroed_

# The paper's: so many steps in all, the mask chosen anew in the first ones, penalty 1.
_STEPS, _CHOOSING, _RHO = 20, 15, 1.0


def gradual_mask(
    weight: Float[Tensor, "out in"],
    gram: Float[Tensor, "in in"],
    pattern: Unstructured | SemiStructured,
    dampening: float = 0.1,
) -> tuple[Bool[Tensor, "out in"], Float[Tensor, "out in"]]:
    """(pruned, weight): what goes, and the weights as the last step left them, zero there.

    Z = (W + U) * mask;  U += W - Z;  W = (A + rho I)^-1 (A W0 + rho (Z - U)), where A is the Gram matrix with its
    columns scaled to a unit diagonal and the ridge `dampening` added after that, so that every input is held back by
    the same share of its own energy. gram: undampened. Raises NotPositiveDefinite.
    """
    size = gram.diagonal().sqrt()
    scale = size.where(size > 0, torch.ones_like(size))
    normal = gram / scale / scale.unsqueeze(1)
    normal.diagonal().add_(dampening)
    inverse = _ridge_inverse(normal, _RHO)
    current = weight * size
    target, dual = current @ normal, torch.zeros_like(current)
    pruned = torch.zeros_like(current, dtype=torch.bool)
    for step in range(_STEPS):
        if step < _CHOOSING:
            share = 1 - (1 - (step + 1) / _CHOOSING) ** 3
            pruned = _lowest((current + dual).abs(), pattern, share)
        split = zeroed_(current + dual, pruned)
        dual += current - split
        current = torch.sub(split, dual).mul_(_RHO).add_(target) @ inverse
    return pruned, zeroed_((current + dual) / scale, pruned)


def _lowest(size: Tensor, pattern: Unstructured | SemiStructured, share: float) -> Tensor:
    """The first `share` of what the pattern removes in the end: the lowest of the whole matrix.

    N:M: of those weights alone that their own group would lose.
    """
    if isinstance(pattern, Unstructured):
        return patterns.lowest(size, int(patterns.removed_count(size.numel(), pattern.sparsity) * share))
    candidates = patterns.lowest_per_group(size, pattern.keep, pattern.of)
    return patterns.lowest(size.masked_fill(~candidates, torch.inf), int(int(candidates.sum()) * share))


def _ridge_inverse(normal: Tensor, rho: float) -> Tensor:
    ridged = normal.clone()
    ridged.diagonal().add_(rho)
    lower, failed = torch.linalg.cholesky_ex(ridged)
    if failed:
        raise NotPositiveDefinite
    return torch.cholesky_inverse(lower)
