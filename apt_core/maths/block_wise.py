"""Column block after column block: what goes is chosen, and everything that stays makes up for it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths import pattern as patterns
from apt_core.maths.compensate import block_multipliers
from apt_core.maths.zeros import zeroed_

# (all columns from the block rightwards, as updated so far; the block's start and stop) -> True where a
# weight of the block goes, [out, stop - start].
Choose = Callable[[Tensor, int, int], Tensor]


def prune_block_wise(
    weight: Float[Tensor, "out in"],
    factor: Float[Tensor, "in in"],
    pattern: Unstructured | SemiStructured,
    block_size: int,
    choose: Choose,
) -> tuple[Float[Tensor, "out in"], Bool[Tensor, "out in"]]:
    """(weight, pruned): the Multiple Removal Problem of one block at a time, left to right.

    All removals of a block are solved together (`maths.compensate`); the rest of the block and all columns
    to its right take the update. factor: U with H^-1 = U^T U.
    """
    work = weight.clone()
    pruned = torch.zeros_like(work, dtype=torch.bool)
    for start, stop in patterns.column_blocks(work.shape[1], block_size, pattern):
        gone = choose(work[:, start:], start, stop)
        z = block_multipliers(work[:, start:stop], gone, factor[start:stop, start:stop])
        work[:, start:] -= z @ factor[start:stop, start:]
        zeroed_(work[:, start:stop], gone)  # exact zeros, not rounding residue
        pruned[:, start:stop] = gone
    return work, pruned
