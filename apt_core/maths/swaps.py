"""SparseSwaps: trade a kept weight for a removed one wherever that lowers the loss (arXiv 2512.10922).

With e = w at the removed places (zero elsewhere) and c = G e, the loss of a row is e^T G e. Removing u in
place of p changes it by exactly

    (2 w_u c_u + w_u^2 G_uu) + (-2 w_p c_p + w_p^2 G_pp) - 2 w_u w_p G_up

Example: G = I, w = [3, 1, 2], removed {0}: the loss is 9 and c = [3, 0, 0]. Trading u = 1 for p = 0
changes it by 1 + (-18 + 9) - 0 = -8, and the loss of removing {1} is indeed 1.

The weights that stay are not changed here: compensation comes after.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths.pattern import check_fits

# Of the kept and of the removed weights of a row, so many enter the search for the best pair of an
# unstructured swap, by their own terms. Within a group every pair is tried.
_SHORTLIST = 32
_LEAST_GAIN = 1e-6  # of a row's loss; less is rounding


def swapped(
    weight: Float[Tensor, "out in"],
    pruned: Bool[Tensor, "out in"],
    gram: Float[Tensor, "in in"],
    pattern: Unstructured | SemiStructured,
    rounds: int,
) -> Bool[Tensor, "out in"]:
    """A mask with as many removals in every row (and group) and a loss that is never higher.

    rounds: swaps per row; for N:M sweeps over all groups, one swap in each.
    """
    check_fits(weight.shape[1], pattern)
    if isinstance(pattern, SemiStructured):
        return _in_groups(weight, pruned, gram, pattern.of, rounds)
    return _in_rows(weight, pruned, gram, rounds)


def _in_groups(weight: Tensor, pruned: Tensor, gram: Tensor, of: int, rounds: int) -> Tensor:
    """Group after group, all rows at once; every swap is exact given the ones before it."""
    pruned = pruned.clone()
    pull = (weight * pruned) @ gram
    for _ in range(rounds):
        traded, least = 0, _least_gain(weight, pruned, pull)
        for start in range(0, weight.shape[1], of):
            group = slice(start, start + of)
            change = _swap_best_pair_(
                weight[:, group], pruned[:, group], pull[:, group], gram[group, group], least
            )
            pull += change @ gram[group]
            traded += int(change.count_nonzero())
        if not traded:
            break
    return pruned


def _swap_best_pair_(weight: Tensor, pruned: Tensor, pull: Tensor, gram: Tensor, least: Tensor) -> Tensor:
    """Change `pruned` [rows, of] in place; returns the change of e, zero where a row keeps its set."""
    of = len(gram)
    removing, restoring = _own_terms(weight, pruned, pull, gram.diagonal())
    cross = 2 * weight.unsqueeze(2) * weight.unsqueeze(1) * gram
    best, pair = (removing.unsqueeze(2) + restoring.unsqueeze(1) - cross).flatten(1).min(dim=1)
    swaps = (best < -least).nonzero().squeeze(1)
    u, p = pair[swaps] // of, pair[swaps] % of
    change = torch.zeros_like(weight)
    change[swaps, u] = weight[swaps, u]
    change[swaps, p] = -weight[swaps, p]
    pruned[swaps, u], pruned[swaps, p] = True, False
    return change


def _in_rows(weight: Tensor, pruned: Tensor, gram: Tensor, rounds: int) -> Tensor:
    pruned = pruned.clone()
    pull = (weight * pruned) @ gram
    diagonal = gram.diagonal()
    short = min(_SHORTLIST, weight.shape[1])
    for _ in range(rounds):
        removing, restoring = _own_terms(weight, pruned, pull, diagonal)
        a, u = removing.topk(short, dim=1, largest=False)
        b, p = restoring.topk(short, dim=1, largest=False)
        cross = gram[u.unsqueeze(2), p.unsqueeze(1)]
        cross = cross * (2 * weight.gather(1, u).unsqueeze(2) * weight.gather(1, p).unsqueeze(1))
        best, pair = (a.unsqueeze(2) + b.unsqueeze(1) - cross).flatten(1).min(dim=1)
        rows = (best < -_least_gain(weight, pruned, pull)).nonzero().squeeze(1)
        if not len(rows):
            break
        u, p = u[rows, pair[rows] // short], p[rows, pair[rows] % short]
        pruned[rows, u], pruned[rows, p] = True, False
        gained, lost = weight[rows, u].unsqueeze(1), weight[rows, p].unsqueeze(1)
        pull[rows] += gained * gram[u] - lost * gram[p]
    return pruned


def _own_terms(weight: Tensor, pruned: Tensor, pull: Tensor, diagonal: Tensor) -> tuple[Tensor, Tensor]:
    """What removing a kept weight and restoring a removed one cost alone; infinite where it cannot be."""
    energy = weight.square() * diagonal
    removing = (2 * weight * pull + energy).masked_fill(pruned, torch.inf)
    restoring = (energy - 2 * weight * pull).masked_fill(~pruned, torch.inf)
    return removing, restoring


def _least_gain(weight: Tensor, pruned: Tensor, pull: Tensor) -> Tensor:
    return (weight * pruned * pull).sum(dim=1).clamp_min(1e-30) * _LEAST_GAIN
