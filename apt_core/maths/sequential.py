"""SparseGPT's loop (arXiv 2301.00774, algorithm 1): one column at a time, the columns to its right make up."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths import pattern as patterns
from apt_core.maths.zeros import zeroed_

# (columns start..stop of the weight as updated so far, start, stop) -> their scores; the lowest go.
Score = Callable[[Tensor, int, int], Tensor]


def prune_sequentially(
    weight: Float[Tensor, "out in"],
    factor: Float[Tensor, "in in"],
    dead: Bool[Tensor, "in"],
    pattern: Unstructured | SemiStructured,
    block_size: int,
    score: Score,
) -> tuple[Float[Tensor, "out in"], Bool[Tensor, "out in"]]:
    """(weight, pruned). Masks are chosen per column block (or N:M group); what is left is never revised.

    factor: U with H^-1 = U^T U. dead: inputs that were zero on every token go first.
    """
    work = weight.clone()
    pruned = torch.zeros_like(work, dtype=torch.bool)
    for start, stop in patterns.column_blocks(work.shape[1], block_size, pattern):
        errors = _prune_block_(work, pruned, factor, dead, start, stop, pattern, score)
        work[:, stop:] -= errors @ factor[start:stop, stop:]
    return zeroed_(work, pruned), pruned


def _prune_block_(
    work: Tensor,
    pruned: Tensor,
    factor: Tensor,
    dead: Tensor,
    start: int,
    stop: int,
    pattern: Unstructured | SemiStructured,
    score: Score,
) -> Tensor:
    """Prune columns start..stop of `work` in place; the errors [out, stop - start] still to be spread right."""
    block_factor = factor[start:stop, start:stop]
    gone = torch.zeros(stop - start, len(work), dtype=torch.bool, device=work.device)
    if isinstance(pattern, Unstructured):
        scores = score(work[:, start:stop], start, stop).masked_fill(dead[start:stop], 0)
        gone |= patterns.lowest(scores, patterns.block_budget(len(work), start, stop, pattern.sparsity)).T
    columns = work[:, start:stop].T.contiguous()  # [b, out]: one column of the matrix lies together
    errors = torch.zeros_like(columns)
    for column in range(stop - start):
        if isinstance(pattern, SemiStructured) and column % pattern.of == 0:
            group = slice(column, column + pattern.of)
            first, last = start + column, start + column + pattern.of
            scores = score(columns[group].T, first, last).masked_fill(dead[first:last], 0)
            gone[group] = patterns.lowest_per_group(scores.contiguous(), pattern.keep, pattern.of).T
        torch.mul(columns[column], gone[column], out=errors[column])
        errors[column] /= block_factor[column, column]
        columns[column:].addr_(block_factor[column, column:], errors[column], alpha=-1)
    work[:, start:stop] = columns.T
    pruned[:, start:stop] = gone.T
    return errors.T
