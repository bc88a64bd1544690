"""Which weights of a column block go: scored one by one (S) or together (M), unstructured or N:M.

S scores each weight by the loss of removing it alone. M knows that what goes together costs together: for N:M all sets
of a group are compared by their exact joint loss. Unstructured there are too many sets, and M is a heuristic: several
rounds of S, each on the weights that the optimal compensation for the removals so far leaves. A score in a later
round is the loss that one more removal would add if those already gone could return to any value; the exact loss, which
holds them at zero, needs an inverse of its own for every row.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths import pattern as patterns
from apt_core.maths import saliency
from apt_core.maths.compensate import block_multipliers
from apt_core.maths.removal_sets import cheapest_set, enumerable, greedy_set, removal_sets

# Unstructured M: so many rounds, each seeing the optimal compensation for what has already gone.
ROUNDS = 4


def choose_block(
    block: Float[Tensor, "rows b"],
    factor: Float[Tensor, "b b"],
    pattern: Unstructured | SemiStructured,
    budget: int,
    joint: bool,
) -> Bool[Tensor, "rows b"]:
    """True where a weight of this block goes; never writes to `block`.

    budget: how many go (unstructured; N:M says so itself). A dead input needs no word: its weights are zero here,
    and `live_inputs` removes them first.
    """
    if isinstance(pattern, SemiStructured):
        return _groups(block, factor, pattern, joint)
    if joint:
        return _in_rounds(block, factor, budget)
    return patterns.lowest(saliency.conditional(block, factor), budget)


def _groups(block: Tensor, factor: Tensor, pattern: SemiStructured, joint: bool) -> Tensor:
    """Group by group from left to right, each on the weights that the groups before it have updated."""
    work = block.T.clone(memory_format=torch.contiguous_format)  # [b, rows]: a group is a few contiguous rows
    pruned = torch.zeros_like(work, dtype=torch.bool)
    starts = range(0, len(work), pattern.of)
    factors = torch.stack([factor[i : i + pattern.of, i : i + pattern.of] for i in starts])
    sets = removal_sets(factors, pattern.keep) if joint and enumerable(pattern.keep, pattern.of) else None
    for group, start in enumerate(starts):
        stop = start + pattern.of
        weight, group_factor = work[start:stop], factors[group]
        if sets is not None:
            gone, z = cheapest_set(weight, sets, group)
        elif joint:
            gone, z = greedy_set(weight, group_factor, pattern.keep)
        else:
            gone, z = _lowest_of_group(weight, group_factor, pattern)
        pruned[start:stop] = gone
        work[stop:].addmm_(factor[start:stop, stop:].T, z, alpha=-1)
    return pruned.T.contiguous()


def _lowest_of_group(weight: Tensor, factor: Tensor, pattern: SemiStructured) -> tuple[Tensor, Tensor]:
    """Solution S of one group [of, rows]: the lowest single-weight losses, then the joint compensation."""
    rows = weight.T.contiguous()
    gone = patterns.lowest_per_group(saliency.conditional(rows, factor), pattern.keep, pattern.of)
    return gone.T, block_multipliers(rows, gone, factor).T


def _in_rounds(block: Tensor, factor: Tensor, budget: int) -> Tensor:
    """A quarter of the budget at a time, each scored on the weights that make up for what has gone before."""
    pruned = torch.zeros_like(block, dtype=torch.bool)
    current = block
    scores = saliency.conditional(block, factor)
    for round_ in range(1, ROUNDS + 1):
        target = budget * round_ // ROUNDS
        pruned = patterns.lowest(scores.masked_fill(pruned, -1), target)
        if round_ < ROUNDS:
            current = block - block_multipliers(block, pruned, factor) @ factor
            scores = saliency.conditional(current, factor)
    return pruned
