"""Masks found together with the weights, by the alternating direction method of multipliers.

Per layer: minimise tr(S (W' - W) G (W' - W)^T) over W' in the pattern. Splitting W' = B = D with D in the
pattern (arXiv 2406.07831, "ALPS", where S = I) alternates a ridge solve for B, a projection for D and a dual
step:

    S B A + rho B = Y - V + rho D,   D = project(B + V / rho),   V = V + rho (B - D)

in coordinates where A and S have a unit diagonal (columns scaled by sqrt(G_jj), rows by sqrt(S_ii)), with
Y = S B_0 A. Held in memory are D and V / rho, which is what the last projection took. A small rho lets weights
trade places, a large one freezes the mask: rho grows geometrically from first to last step.

With A = Q diag(a) Q^T and S = rest I + P diag(s - rest) P^T (`maths.output_metric`) the ridge solve is one
product with a fixed inverse for all directions of the output, and a correction in the few that P spans:

    B = R (rest A + rho I)^-1 + P (P^T R Q * (1 / (s_k a_j + rho) - 1 / (rest a_j + rho))) Q^T
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths import pattern as patterns
from apt_core.maths.hessian import Spectrum, add_upper_product_, mirrored
from apt_core.maths.output_metric import OutputMetric, layer_wise
from apt_core.maths.zeros import zeroed, zeroed_

# The threshold of a whole-matrix projection inside the loop is read off this many weights; the final
# mask is exact.
_SAMPLE = 16_384
_STEPS_PER_RHO = 5


def admm_mask(
    weight: Float[Tensor, "out in"],
    inputs: Spectrum,
    pattern: Unstructured | SemiStructured,
    steps: int,
    first_rho: float,
    last_rho: float,
    outputs: OutputMetric | None = None,
) -> tuple[Bool[Tensor, "out in"], Float[Tensor, "out in"]]:
    """(pruned, weight): what goes, and the weights as the search left them, zero there.

    inputs: the dampened Gram matrix, as `LayerStats.spectrum` gives it. outputs: S; None for S = I.
    """
    outputs = outputs or layer_wise(len(weight), weight)
    scale = inputs.scale * outputs.scale
    start = weight * scale
    target = outputs.times(start @ inputs.normal)
    project = Projection(pattern, start)
    kept, lost, rho = project(start), torch.zeros_like(start), first_rho
    for step in range(steps):
        if step % _STEPS_PER_RHO == 0:
            before, rho = rho, first_rho * (last_rho / first_rho) ** (step / max(steps - 1, 1))
            lost.mul_(before / rho)  # V itself stays
            solve = _ridge_solver(inputs, outputs, rho)
        # In float32 throughout: B - D is small beside B, and a CPU that rounds some of these products to bfloat16 and
        # not others (AMX) finds worse masks; `docs/results/notes.md`, "bfloat16 inside the mask search".
        proposal = solve(torch.add(target, kept, alpha=rho).sub_(lost, alpha=rho)).add_(lost)
        kept = project(proposal)
        torch.sub(proposal, kept, out=lost)  # = (V + rho (B - D)) / rho
    pruned = patterns.choose_in_matrix(proposal.abs(), pattern)
    return pruned, zeroed_(proposal / scale, pruned)


def _ridge_solver(inputs: Spectrum, outputs: OutputMetric, rho: float) -> Callable[[Tensor], Tensor]:
    """R -> B with S B A + rho B = R."""
    common = 1 / (outputs.rest * inputs.values + rho)
    back = inputs.vectors.T.contiguous()
    inverse = torch.zeros_like(back)
    add_upper_product_(inverse, inputs.vectors * common, back)
    inverse = mirrored(inverse)
    if not len(outputs.values):
        return lambda right: right @ inverse
    own = 1 / (outputs.values.unsqueeze(1) * inputs.values + rho) - common

    def solve(right: Tensor) -> Tensor:
        corrected = (((outputs.vectors.T @ right) @ inputs.vectors) * own) @ back
        return (right @ inverse).addmm_(outputs.vectors, corrected)

    return solve


class Projection:
    """The nearest matrix in the pattern: the largest stay, the others become zero.

    sample: read an unstructured threshold off so many weights instead of all of them (None).
    """

    def __init__(self, pattern: Unstructured | SemiStructured, like: Tensor, sample: int | None = _SAMPLE):
        self._pattern = pattern
        self._sample = None
        if isinstance(pattern, Unstructured) and sample is not None:
            count = min(like.numel(), sample)
            generator = torch.Generator().manual_seed(0)
            self._sample = torch.randint(like.numel(), (count,), generator=generator).to(like.device)
            self._below = patterns.removed_count(count, pattern.sparsity)

    def __call__(self, weight: Tensor) -> Tensor:
        if isinstance(self._pattern, SemiStructured):
            return weight * _largest_of_groups(weight.abs(), self._pattern.keep, self._pattern.of)
        if self._sample is None:
            return zeroed(weight, patterns.choose_in_matrix(weight.abs(), self._pattern))
        if self._below == 0:
            return weight.clone()
        sample = weight.view(-1)[self._sample].abs()
        if sample.device.type != "cpu":  # the threshold stays there
            return weight * (weight.abs() > sample.kthvalue(self._below).values)
        return F.hardshrink(weight, _kth_smallest(sample, self._below))


def _kth_smallest(values: Tensor, k: int) -> float:
    """numpy selects in a fraction of torch's time."""
    return float(np.partition(values.numpy(), k - 1)[k - 1])


def _largest_of_groups(size: Tensor, keep: int, of: int) -> Tensor:
    """True at the `keep` largest of each group; a few comparisons for 2:4, a sort for other groups."""
    if (keep, of) != (2, 4):
        return ~patterns.lowest_per_group(size, keep, of)
    groups = size.view(-1, 4)
    a, b, c, d = groups.unbind(1)
    high, low = torch.maximum(a, b), torch.minimum(a, b)
    other_high, other_low = torch.maximum(c, d), torch.minimum(c, d)
    second = torch.maximum(torch.minimum(high, other_high), torch.where(high > other_high, low, other_low))
    return (groups >= second.unsqueeze(1)).view(size.shape)
