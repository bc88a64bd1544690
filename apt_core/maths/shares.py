"""From desired to exact sparsities: how many weights each layer loses when the whole model loses a given share.

An allocation wishes each layer a sparsity; wishes neither add up to the budget nor stay below 1. Here one number for
all layers (a factor, or an offset) makes them fit: the share of layer l is clip(factor wish_l, 0, MOST), or
clip(wish_l + offset, 0, MOST), with the number for which sum_l size_l share_l is the budget. Both sums grow with it, so
it is found by halving; what a clipped layer cannot lose is lost by the others.

Example: two layers of 100 weights, wishes 0.5 and 1.5, budget 0.8: the factor 1 would give 0.5 and 0.99 (the most),
which is 0.745 of all; the factor 1.22 gives 0.61 and 0.99, which is 0.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

MOST = 0.99  # of a layer
_HALVINGS = 100


def scaled(wishes: Sequence[float], sizes: Sequence[int], sparsity: float) -> list[int]:
    """Weights that each layer loses: its desired share times one factor, together round(sparsity x all weights).

    wishes: not negative, one of them positive. sizes: weights of each layer.
    """
    if min(wishes) < 0 or max(wishes) <= 0:
        raise ValueError("wishes are not negative, and one of them is positive")
    smallest = min(wish for wish in wishes if wish > 0)
    return _fitted(lambda factor: [factor * wish for wish in wishes], 0.0, 2 / smallest, sizes, sparsity)


def shifted(wishes: Sequence[float], sizes: Sequence[int], sparsity: float) -> list[int]:
    """Weights that each layer loses: its desired share plus one offset, together round(sparsity x all weights)."""
    low, high = -max(wishes), 1 - min(wishes)
    return _fitted(lambda offset: [wish + offset for wish in wishes], low, high, sizes, sparsity)


def _fitted(
    shares_at: Callable[[float], list[float]], low: float, high: float, sizes: Sequence[int], sparsity: float
) -> list[int]:
    most = max(MOST, sparsity)
    total = round(sparsity * sum(sizes))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        removed = sum(_removed(shares_at(middle), sizes, most))
        low, high = (middle, high) if removed < total else (low, middle)
    return _whole(_removed(shares_at(high), sizes, most), sizes, total)


def _removed(shares: Sequence[float], sizes: Sequence[int], most: float) -> list[float]:
    return [size * min(max(share, 0.0), most) for share, size in zip(shares, sizes, strict=True)]


def _whole(removed: Sequence[float], sizes: Sequence[int], total: int) -> list[int]:
    """Whole numbers with this sum, each within one of its own where that can be: the largest remainders go up."""
    counts = [int(number) for number in removed]
    order = sorted(range(len(counts)), key=lambda place: counts[place] - removed[place])
    for place in order:
        if sum(counts) == total:
            break
        counts[place] += counts[place] < sizes[place]
    return _corrected(counts, sizes, total)


def _corrected(counts: list[int], sizes: Sequence[int], total: int) -> list[int]:
    """What rounding of large sums has left over goes to the largest layers."""
    for place in sorted(range(len(counts)), key=lambda place: -sizes[place]):
        missing = total - sum(counts)
        counts[place] = min(max(counts[place] + missing, 0), sizes[place])
    return counts


def kept_in_groups(shares: Sequence[float], sizes: Sequence[int], keep: int, of: int) -> list[int]:
    """The N of each layer's N:`of` pattern: its share of removed weights rounded to a whole N from 1 to `of` - 1.

    shares: removed fraction that each layer is to have, together (of - keep) / of of all weights. Together the layers
    keep at most keep / of of all weights, and less by fewer than the largest layer's weights / of: every N is
    rounded down, then the layers nearest to the next one go up as long as the budget lasts.

    Example: two layers of 400 weights, shares 0.4 and 0.6 of 2:4, wish to keep 2.4 and 1.6 of 4; rounded down 2 and 1,
    300 of the 400 weights that may stay; the second is nearest to its next number: 2 and 2.
    """
    wishes = [min(max(of * (1 - share), 1.0), of - 1.0) for share in shares]
    kept = [min(int(wish + 1e-9), of - 1) for wish in wishes]
    left = keep * sum(sizes) - sum(number * size for number, size in zip(kept, sizes, strict=True))
    for place in sorted(range(len(kept)), key=lambda place: kept[place] - wishes[place]):
        if kept[place] < of - 1 and sizes[place] <= left:
            kept[place] += 1
            left -= sizes[place]
    return kept
