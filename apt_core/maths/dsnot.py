"""DSnoT: a mask that trades weights by the expected error of each row, without a gradient (arXiv 2310.08915).

With m_j the mean over windows of the sum of input j over their tokens, v_j its variance over tokens, and
C_ij = w_ij m_j, the expected error of row i is e_i = sum of C_ij over its removed weights. Each cycle a row grows one
removed weight and prunes one kept weight, and changes e_i by C_pruned - C_grown, until |e_i| is small:

    grow    where e_i > 0 the removed weight with the largest C_ij / v_j, else that with the smallest
    prune   of the kept weights whose C_ij drives e_i towards zero, that with the smallest |w_ij| ||x_j||

A weight that was traded is not traded again. In a group of N:M the grown weight's own group loses the kept weight with
the smallest |w_ij| ||x_j||, and a row stops before a trade would turn the sign of its error.

Example: w = [3, 1, 2], m = [1, 1, 1], v = [1, 1, 1], removed {0, 1}: e = 4. Growing 0 leaves 1; kept weights with
C < 0 there are none, so the row stays as it is.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths.pattern import check_fits

_LEAST_VARIANCE = 1e-12  # of the largest


class InputMoments(NamedTuple):
    """Of each input: the mean over windows of its sum over tokens, its variance over tokens, and its length."""

    sums: Float[Tensor, "in"]
    variance: Float[Tensor, "in"]
    norms: Float[Tensor, "in"]

    @classmethod
    def of(
        cls, sums: Float[Tensor, "in"], squares: Float[Tensor, "in"], tokens: int, windows: int
    ) -> InputMoments:
        """sums, squares: of each input and of its square, over `tokens` tokens in `windows` windows."""
        mean = sums.double() / tokens
        variance = (squares.double() / tokens - mean.square()).clamp_min(0)
        least = _LEAST_VARIANCE * float(variance.max()) or 1.0
        return cls(sums / max(windows, 1), variance.clamp_min(least).to(sums.dtype), squares.sqrt())


def grown_and_pruned(
    weight: Float[Tensor, "out in"],
    pruned: Bool[Tensor, "out in"],
    inputs: InputMoments,
    pattern: Unstructured | SemiStructured,
    cycles: int,
    tolerance: float,
) -> Bool[Tensor, "out in"]:
    """A mask with as many removals in every row (and group).

    tolerance: a row whose |e_i| is not above it is done for good.
    """
    check_fits(weight.shape[1], pattern)
    rows = _Rows(weight, pruned, inputs)
    for _ in range(cycles):
        rows.rest(tolerance)
        if not rows.active.any():
            break
        if isinstance(pattern, SemiStructured):
            rows.trade_in_groups(pattern.of)
        else:
            rows.trade()
    return rows.pruned


class _Rows:
    """All rows at once; those that are not `active` change no more."""

    def __init__(self, weight: Tensor, pruned: Tensor, inputs: InputMoments):
        self.pruned = pruned.clone()
        self._free = torch.ones_like(pruned)  # not traded yet
        self._gain = weight * inputs.sums  # C
        self._growth = self._gain / inputs.variance
        self._saliency = weight.abs() * inputs.norms
        self._error = (self._gain * pruned).sum(1)
        self._sign = self._error.sign()  # at the start
        self.active = torch.ones_like(self._error, dtype=torch.bool)

    def rest(self, tolerance: float) -> None:
        self.active &= self._error.abs() > tolerance

    def trade(self) -> None:
        """One trade in every active row that has a weight to grow and one to prune."""
        positive = self._error > 0
        grown, can_grow = self._to_grow(positive)
        towards = torch.where(positive.unsqueeze(1), self._gain < 0, self._gain > 0)
        dropped, can_drop = _smallest(self._saliency, ~self.pruned & self._free & towards)
        self.active &= can_grow & can_drop
        self._swap(grown, dropped)

    def trade_in_groups(self, of: int) -> None:
        """The grown weight's own group loses its least salient kept weight, unless that turns the error's sign."""
        grown, can_grow = self._to_grow(self._error > 0)
        groups = torch.arange(self.pruned.shape[1], device=self.pruned.device) // of
        in_group = groups == groups[grown].unsqueeze(1)
        dropped, can_drop = _smallest(self._saliency, ~self.pruned & self._free & in_group)
        left = self._error - _at(self._gain, grown) + _at(self._gain, dropped)
        self.active &= can_grow & can_drop & (left.sign() == self._sign)
        self._swap(grown, dropped)

    def _to_grow(self, positive: Tensor) -> tuple[Tensor, Tensor]:
        """(column, whether there is one) of each row."""
        wanted = torch.where(positive.unsqueeze(1), -self._growth, self._growth)
        return _smallest(wanted, self.pruned & self._free)

    def _swap(self, grown: Tensor, dropped: Tensor) -> None:
        rows = self.active.nonzero().flatten()
        back, gone = grown[rows], dropped[rows]
        self.pruned[rows, back], self.pruned[rows, gone] = False, True
        self._free[rows, back] = self._free[rows, gone] = False
        self._error[rows] += self._gain[rows, gone] - self._gain[rows, back]


def _smallest(values: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """(column of the smallest allowed value, whether any is allowed) of each row."""
    found = values.masked_fill(~allowed, torch.inf).argmin(1)
    return found, allowed.any(1)


def _at(values: Tensor, columns: Tensor) -> Tensor:
    return values.gather(1, columns.unsqueeze(1)).squeeze(1)
