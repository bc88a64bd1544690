"""Masks, counted: rectangles of a matrix, kept weights per row and column, groups of N:M."""

from __future__ import annotations

import torch
from torch import Tensor

from apt_core.base.patterns import SemiStructured
from apt_core.measure.inside.values import Groups, Histogram, KeptCounts, Tile

MOST_CELLS = 64  # along either side
_BINS = 32


def tile(flags: Tensor, most: int = MOST_CELLS, multiple: int = 1) -> Tile:
    """How many of `flags` [rows, columns] are True in each of at most `most` x `most` rectangles.

    multiple: a cell's width is a multiple of this many columns, so that no group is cut.
    """
    rows, columns = flags.shape
    down, across = _each(rows, most), _each(-(-columns // multiple), most) * multiple
    summed = _summed(_summed(flags.float(), down, 0), across, 1)
    sizes = _summed(_summed(torch.ones(rows, columns), down, 0), across, 1)
    shares = (summed / sizes).double().tolist()
    return Tile(
        rows_each=down, columns_each=across, shares=tuple(tuple(round(s, 4) for s in row) for row in shares)
    )


def _each(length: int, most: int) -> int:
    return max(1, -(-length // most))


def _summed(values: Tensor, each: int, dim: int) -> Tensor:
    """Sums of `each` neighbours along a dimension; the last sum may be of fewer."""
    return torch.stack([part.sum(dim) for part in values.split(each, dim)], dim)


def kept_counts(pruned: Tensor, dim: int) -> KeptCounts:
    """Of each row (dim 1 is counted) or of each column (dim 0)."""
    kept = (~pruned).sum(dim)
    return KeptCounts(
        least=int(kept.min()),
        mean=float(kept.double().mean()),
        most=int(kept.max()),
        empty=int((kept == 0).sum()),
        histogram=histogram(kept.double(), whole=True),
    )


def histogram(values: Tensor, bins: int = _BINS, whole: bool = False) -> Histogram:
    """In bins of equal width; of whole numbers in bins that hold equally many of them, around the numbers."""
    low, high = float(values.min()), float(values.max())
    if whole:
        each = max(1, -(-int(high - low + 1) // bins))
        bins = -(-int(high - low + 1) // each)
        low, high = low - 0.5, low - 0.5 + bins * each
    elif high <= low:
        low, high, bins = low - 0.5, high + 0.5, 1
    counts = torch.histc(values.double(), bins, low, high)
    edges = torch.linspace(low, high, bins + 1, dtype=torch.float64)
    return Histogram(edges=tuple(edges.tolist()), counts=tuple(int(count) for count in counts))


def groups_of(pruned: Tensor, pattern: SemiStructured) -> Groups:
    """Every group of neighbours in a row against the pattern."""
    rows = len(pruned)
    too_many = (~pruned).reshape(rows, -1, pattern.of).sum(dim=2) > pattern.keep
    return Groups(
        keep=pattern.keep,
        of=pattern.of,
        groups=too_many.numel(),
        violating=int(too_many.sum()),
        map=tile(too_many),
    )
