"""Ridge regression from sums over tokens, and the compensation of one set of removed columns.

W = B A^T (A A^T + lambda I)^-1        lambda = dampening x mean diagonal of A A^T

Where a weight has zeros that an earlier run made, each row has a system of its own over the places that are `free`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.errors import NotPositiveDefinite
from apt_core.maths.compensate import solve_directly
from apt_core.maths.hessian import dampened, factorising, inverse_factor
from apt_core.maths.zeros import not_zeroed


class Solved(NamedTuple):
    """left: ||B - W A||^2."""

    weight: Float[Tensor, "out in"]
    left: float


class Regression:
    """B [out, tokens] from A [in, tokens], added up a few tokens at a time in float32."""

    def __init__(self) -> None:
        self._gram: Tensor | None = None
        self._cross: Tensor | None = None
        self.energy = 0.0  # ||B||^2

    def add(self, inputs: Tensor, outputs: Tensor) -> None:
        """inputs: [..., in]; outputs: [..., out]."""
        a, b = inputs.reshape(-1, inputs.shape[-1]).float(), outputs.reshape(-1, outputs.shape[-1]).float()
        gram, cross = a.T @ a, b.T @ a
        self._gram = gram if self._gram is None else self._gram + gram
        self._cross = cross if self._cross is None else self._cross + cross
        self.energy += float(b.square().sum())

    def solve(self, dampening: float, free: Bool[Tensor, "out in"] | None = None) -> Solved:
        """free: as of `ridge`. Raises NotPositiveDefinite where the dampened Gram matrix cannot be factorised."""
        assert self._gram is not None and self._cross is not None
        weight = ridge(self._gram, self._cross, dampening, free)
        explained = 2 * (weight * self._cross).sum() - ((weight @ self._gram) * weight).sum()
        return Solved(weight, max(0.0, self.energy - float(explained)))


def ridge(
    gram: Float[Tensor, "in in"],
    cross: Float[Tensor, "out in"],
    dampening: float,
    free: Bool[Tensor, "out in"] | None = None,
) -> Float[Tensor, "out in"]:
    """cross (gram + lambda I)^-1; where gram is all zero there is nothing to learn, and the answer is zero.

    free: where the answer may be other than zero, everywhere when None.
    """
    damped, mean = gram.clone(), gram.diagonal().mean()
    if mean == 0:
        return torch.zeros_like(cross)
    damped.diagonal().add_(dampening * mean)
    factor, failed = torch.linalg.cholesky_ex(damped)
    if failed or not torch.isfinite(factor).all():
        raise NotPositiveDefinite(dampening)
    solved = torch.cholesky_solve(cross.T, factor).T
    if free is not None:
        some = ~free.all(dim=1)
        solved[some] = solve_directly(damped, cross[some], free[some])
    return solved


def without_columns(
    weight: Float[Tensor, "out in"],
    pruned: Bool[Tensor, "in"],
    gram: Float[Tensor, "in in"],
    dampening: float,
) -> Float[Tensor, "out in"]:
    """The weight without these columns, the others moved to the optimum: APT's closed form, one P for all rows.

        W_K + W_P G_PK (G_KK + lambda I)^-1, zeros at P        (arXiv 2410.15567, eq. 7 with the same P in each row)

    Without dampening it minimises tr(D G D^T). Zeros that an earlier run made stay zeros: K of such a row is
    what else it keeps. Example: G = [[2, 1], [1, 2]], W = [[1, 3]], P = {0}: [[0, 3.5]].
    """
    kept, free = ~pruned, not_zeroed(weight)
    moved = ridge(
        gram[kept][:, kept],
        weight[:, pruned] @ gram[pruned][:, kept],
        dampening,
        None if free is None else free[:, kept],
    )
    result = torch.zeros_like(weight)
    result[:, kept] = weight[:, kept] + moved
    return result


def inverse_gram(gram: Float[Tensor, "in in"], dampening: float) -> Float[Tensor, "in in"]:
    """(G + lambda I)^-1; lambda is of the mean over all inputs. Raises NotPositiveDefinite."""
    factor = inverse_factor(dampened(gram, dampening), dampening)
    return factor.T @ factor


def without_columns_by(
    weight: Float[Tensor, "out in"], pruned: Bool[Tensor, "in"], inverse: Float[Tensor, "in in"]
) -> Float[Tensor, "out in"]:
    """`without_columns` from the inverse of the dampened Gram matrix, for many sets of columns of one matrix.

        W - W_P ([H^-1]_PP)^-1 [H^-1]_P,:, zeros at P        (arXiv 2410.15567, eq. 7)

    Raises NotPositiveDefinite.

    Example: H^-1 = [[2, -1], [-1, 2]] / 3, W = [[1, 3]], P = {0}: [[1, 3]] - 1 * 3/2 * [[2/3, -1/3]] = [[0, 3.5]].
    """
    rows = inverse[pruned]
    with factorising():
        factor = torch.linalg.cholesky(rows[:, pruned])
    multipliers = torch.cholesky_solve(weight[:, pruned].T, factor)
    result = weight - multipliers.T @ rows
    result[:, pruned] = 0
    return result
