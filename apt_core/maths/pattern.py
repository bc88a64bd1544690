"""Which weights go: exact counts, ties broken by index. `pruned` is True where a weight is removed."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.patterns import SemiStructured, Unstructured

_COUNTED = 8  # weights of a group, up to which they are compared in pairs rather than sorted,
_MANY = 4096  # where there are so many groups


def removed_count(weights: int, sparsity: float) -> int:
    """How many of `weights` an unstructured pattern removes."""
    return min(round(weights * sparsity), weights)


def lowest(scores: Float[Tensor, "*shape"], k: int) -> Bool[Tensor, "*shape"]:
    """True at the k lowest scores of the whole tensor; equal scores go in order of their index."""
    return lowest_per_row(scores.reshape(1, -1), k).reshape(scores.shape)


def lowest_per_row(scores: Float[Tensor, "rows n"], k: int) -> Bool[Tensor, "rows n"]:
    """True at the k lowest scores of each row; equal scores go in order of their index."""
    if k <= 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    if k >= scores.shape[1]:
        return torch.ones_like(scores, dtype=torch.bool)
    last_to_go = scores.kthvalue(k, dim=1, keepdim=True).values
    below = scores < last_to_go
    ties = scores == last_to_go
    room = k - below.sum(dim=1, keepdim=True)
    return below | (ties & (ties.cumsum(dim=1) <= room))


def lowest_per_group(scores: Float[Tensor, "rows n"], keep: int, of: int) -> Bool[Tensor, "rows n"]:
    """True at the (of - keep) lowest scores of every group of `of` neighbours in a row."""
    groups = scores.reshape(-1, of)
    if of <= _COUNTED and len(groups) >= _MANY:
        return _lowest_by_counting(groups, of - keep).reshape(scores.shape)
    order = groups.argsort(dim=1, stable=True)
    pruned = torch.zeros_like(groups, dtype=torch.bool)
    pruned.scatter_(1, order[:, : of - keep], True)
    return pruned.reshape(scores.shape)


def _lowest_by_counting(groups: Float[Tensor, "groups of"], k: int) -> Bool[Tensor, "groups of"]:
    """True where fewer than k of the group are lower, or as low and further to the left.

    Comparisons of whole columns: a quarter of the time of sorting many groups of four.
    """
    columns = [column.contiguous() for column in groups.unbind(1)]
    before = [torch.zeros_like(column, dtype=torch.int8) for column in columns]
    for left, one in enumerate(columns):
        for right in range(left + 1, len(columns)):
            first = one <= columns[right]
            before[right] += first
            before[left] += ~first
    return torch.stack([count < k for count in before], dim=1)


def choose_by_row(
    scores: Float[Tensor, "out in"], pattern: Unstructured | SemiStructured
) -> Bool[Tensor, "out in"]:
    """The lowest scores, compared within one output row (or within one N:M group).

    Every row loses the same number, or one more in the first rows when the total does not divide.
    """
    if isinstance(pattern, SemiStructured):
        return lowest_per_group(scores, pattern.keep, pattern.of)
    out, width = scores.shape
    each, more = divmod(removed_count(out * width, pattern.sparsity), out)
    return torch.cat([lowest_per_row(scores[:more], each + 1), lowest_per_row(scores[more:], each)])


def choose_in_matrix(
    scores: Float[Tensor, "out in"], pattern: Unstructured | SemiStructured
) -> Bool[Tensor, "out in"]:
    """The lowest scores, compared within the whole matrix (or within one N:M group)."""
    if isinstance(pattern, SemiStructured):
        return lowest_per_group(scores, pattern.keep, pattern.of)
    return lowest(scores, removed_count(scores.numel(), pattern.sparsity))


def choose(
    scores: Float[Tensor, "out in"], pattern: Unstructured | SemiStructured, comparison: str
) -> Bool[Tensor, "out in"]:
    """The lowest scores, compared within the whole "matrix" or within each "row"; N:M always within its groups."""
    return {"matrix": choose_in_matrix, "row": choose_by_row}[comparison](scores, pattern)


def is_exact(weight: Float[Tensor, "out in"], pattern: Unstructured | SemiStructured) -> bool:
    """Does this weight hold the pattern: enough zeros, or at most N non-zeros in every group of M?"""
    zero = weight == 0
    if isinstance(pattern, SemiStructured):
        groups = zero.reshape(-1, pattern.of)
        return bool((groups.sum(dim=1) >= pattern.of - pattern.keep).all())
    return int(zero.sum()) >= removed_count(weight.numel(), pattern.sparsity)


def check_fits(width: int, pattern: Unstructured | SemiStructured) -> None:
    """Raise BadPattern when the last group would stick out of the row."""
    pattern.check_width(width, "this layer")


def column_blocks(
    width: int, block_size: int, pattern: Unstructured | SemiStructured
) -> list[tuple[int, int]]:
    """[(start, stop), ...] left to right; the last one may be narrower.

    N:M groups stay whole: blocks are as wide as fits into `block_size` (at least one group).
    """
    if isinstance(pattern, SemiStructured):
        block_size = max(block_size // pattern.of, 1) * pattern.of
    return [(start, min(start + block_size, width)) for start in range(0, width, block_size)]


def block_budget(rows: int, start: int, stop: int, sparsity: float) -> int:
    """How many weights columns start..stop lose, so that the blocks add up to exactly the whole budget."""
    return removed_count(rows * stop, sparsity) - removed_count(rows * start, sparsity)
