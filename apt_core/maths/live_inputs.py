"""Dead inputs: features that are zero on every calibration token, as behind a ReLU.

Their weights change no output, so they cost nothing to remove and everything else gains by it. They go first, whatever
the mask: every weight of a dead input that the pattern can take is one that no live input has to give. The reason
to do it here, once, and not in each mask: a score or a search compares weights through the Gram matrix, whose rows and
columns are zero there, and any number put on its diagonal in their place (to make it invertible) is a claim about their
importance. With a 1 there, ADMM searches kept four fifths of the dead weights and lost live ones instead.

Unstructured: the layer without its dead columns is a smaller layer of the same kind, which loses that many fewer.
N:M: groups have to stay whole, so dead weights enter as zeros, and every group loses its dead ones first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths import pattern as patterns
from apt_core.maths.hessian import LayerStats
from apt_core.maths.zeros import zeroed, zeroed_

# (weight, its statistics, the pattern) -> (weight, pruned) of the same shape
Solve = Callable[[Tensor, LayerStats, Unstructured | SemiStructured], tuple[Tensor, Tensor]]


def prune_live_inputs(
    weight: Float[Tensor, "out in"],
    stats: LayerStats,
    pattern: Unstructured | SemiStructured,
    solve: Solve,
) -> tuple[Float[Tensor, "out in"], Bool[Tensor, "out in"]]:
    """(weight, pruned) of `solve` on the layer's live inputs, the weights of dead inputs removed first.

    A dead weight that the pattern has no room to remove stays as it was. Exactly as many go as without dead inputs.

    Example: 2 of 4 inputs are dead. At 50% both dead columns go and the live ones stay dense; at 75% half of
    the live weights go too; at 25% half of the dead ones stay.
    """
    if not stats.dead.any():
        return solve(weight, stats, pattern)
    if isinstance(pattern, SemiStructured):
        return _in_groups(weight, stats, pattern, solve)
    return _in_matrix(weight, stats, pattern, solve)


def _in_matrix(
    weight: Tensor, stats: LayerStats, pattern: Unstructured, solve: Solve
) -> tuple[Tensor, Tensor]:
    live = ~stats.dead
    free = weight[:, ~live].numel()
    total = patterns.removed_count(weight.numel(), pattern.sparsity)
    pruned = torch.zeros_like(weight, dtype=torch.bool)
    pruned[:, ~live] = patterns.choose_by_row(weight[:, ~live].abs(), _removing(min(total, free), free))
    solved = weight.clone()
    if total > free:
        rest = _removing(total - free, weight.numel() - free)
        solved[:, live], pruned[:, live] = solve(weight[:, live].contiguous(), stats.of_live_inputs(), rest)
    return zeroed_(solved, pruned), pruned


def _removing(count: int, weights: int) -> Unstructured:
    """The sparsity at which `weights` weights lose exactly `count`."""
    return Unstructured(sparsity=min(count / weights, math.nextafter(1, 0)))


def _in_groups(
    weight: Tensor, stats: LayerStats, pattern: SemiStructured, solve: Solve
) -> tuple[Tensor, Tensor]:
    dead = stats.dead
    if dead.all():
        pruned = patterns.lowest_per_group(weight.abs(), pattern.keep, pattern.of)
        return zeroed(weight, pruned), pruned
    solved, chosen = solve(weight.masked_fill(dead, 0), stats, pattern)
    # As zeros, dead weights tie with live weights that are zero already (a model pruned before): dead ones go first.
    order = (2 - chosen.float()).masked_fill_(dead, 0)
    pruned = patterns.lowest_per_group(order, pattern.keep, pattern.of)
    return zeroed_(weight.where(dead, solved), pruned), pruned
