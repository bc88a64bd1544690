"""Choosing N:M masks by the joint loss of removing several weights at once (APT's solution M).

For a group g of `of` neighbouring columns, everything left of it frozen, the inverse Hessian that counts is
C = U_g^T U_g. Every set P of (of - keep) columns costs w_P (C_PP)^-1 w_P^T. For 2:4 and P = {a, b} that is
(C_bb w_a^2 - 2 C_ab w_a w_b + C_aa w_b^2) / (C_aa C_bb - C_ab^2): six sets, the cheapest goes.

The cost is linear in the products w_i w_j, so all sets of all rows are one matrix product.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.maths.hessian import factorising

# 4:8 has 70 sets. Beyond this, weights of a group go one at a time, each by its exact loss given those gone.
MAX_SETS = 100


class RemovalSets(NamedTuple):
    """Every way to remove from one group, prepared for a run of groups at once.

    Weights of a group are taken as [of, rows]: neighbouring columns of the matrix, transposed.
    """

    table: Bool[Tensor, "sets of"]  # True where removed
    costs: Float[Tensor, "groups sets of_of"]  # loss of every set = costs @ products of the weights
    multipliers: Float[Tensor, "groups sets_of of"]  # z of every set = multipliers @ weights


def enumerable(keep: int, of: int) -> bool:
    return comb(of, keep) <= MAX_SETS


def removal_sets(factors: Float[Tensor, "groups of of"], keep: int) -> RemovalSets:
    """Prepare all sets for groups whose diagonal blocks of U are `factors`. Raises NotPositiveDefinite."""
    groups, of, _ = factors.shape
    device = factors.device
    sets = torch.tensor(list(combinations(range(of), of - keep)), device=device)
    table = torch.zeros(len(sets), of, dtype=torch.bool, device=device).scatter_(1, sets, True)
    inverse = factors.mT @ factors
    with factorising():
        small = torch.linalg.inv(inverse[:, sets.unsqueeze(2), sets.unsqueeze(1)])  # [groups, sets, p, p]
    spread = torch.zeros(groups, len(sets), of, of, device=device)  # (C_PP)^-1 at P x P, zeros elsewhere
    which = torch.arange(len(sets), device=device)[:, None, None]
    spread[:, which, sets.unsqueeze(2), sets.unsqueeze(1)] = small
    multipliers = factors.unsqueeze(1) @ spread  # z = U_g[:, P] (C_PP)^-1 w_P
    return RemovalSets(
        table,
        spread.reshape(groups, len(sets), of * of).contiguous(),
        multipliers.reshape(groups, len(sets) * of, of).contiguous(),
    )


def cheapest_set(
    weight: Float[Tensor, "of rows"], sets: RemovalSets, group: int
) -> tuple[Bool[Tensor, "of rows"], Float[Tensor, "of rows"]]:
    """(pruned, z) of the cheapest set per row; the rest of the row then changes by -U[g, :]^T z."""
    of, rows = weight.shape
    products = (weight.unsqueeze(0) * weight.unsqueeze(1)).view(of * of, rows)
    choice = (sets.costs[group] @ products).argmin(dim=0)
    every = (sets.multipliers[group] @ weight).view(len(sets.table), of, rows)
    z = every.gather(0, choice.expand(1, of, rows)).squeeze(0)
    return sets.table.T.index_select(1, choice), z


def greedy_set(
    weight: Float[Tensor, "of rows"], factor: Float[Tensor, "of of"], keep: int
) -> tuple[Bool[Tensor, "of rows"], Float[Tensor, "of rows"]]:
    """As `cheapest_set`, one weight at a time: each by its exact loss given those already gone.

    Per row the inverse of what remains is kept: removing q turns C into C - C_:q C_q: / C_qq.
    """
    of, rows = weight.shape
    inverse = (factor.T @ factor).expand(rows, of, of).clone()
    current = weight.T.clone()
    pruned = torch.zeros_like(current, dtype=torch.bool)
    row = torch.arange(rows, device=weight.device)
    for _ in range(of - keep):
        diagonal = inverse.diagonal(dim1=1, dim2=2)
        loss = torch.where(pruned, torch.inf, current.square() / diagonal.clamp_min(1e-30))
        gone = loss.argmin(dim=1)
        column = inverse[row, :, gone]
        pivot = column[row, gone].clamp_min(1e-30)
        current -= (current[row, gone] / pivot).unsqueeze(1) * column
        inverse -= column.unsqueeze(2) * column.unsqueeze(1) / pivot[:, None, None]
        pruned[row, gone] = True
    # U_g^T z = w - current by construction of the updates, and U_g is triangular.
    z = torch.linalg.solve_triangular(factor.T, weight - current.T, upper=False)
    return pruned.T, z
