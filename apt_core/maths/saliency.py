"""Scores of single weights: the lowest go first."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def wanda(weight: Float[Tensor, "out in"], gram: Float[Tensor, "in in"]) -> Float[Tensor, "out in"]:
    """|w_ij| ||x_j||_2 (arXiv 2306.11695, eq. 1)."""
    return weight.abs() * gram.diagonal().clamp_min(0).sqrt()


def obs(weight: Float[Tensor, "out n"], factor: Float[Tensor, "n n"]) -> Float[Tensor, "out n"]:
    """w_ij^2 / U_jj^2: the loss of removing one weight, all to its left frozen (arXiv 2301.00774, eq. 4).

    factor: the block of U that belongs to these columns; U_jj^2 = [(H_j:,j:)^-1]_00.
    """
    return weight.square() / factor.diagonal().square()


def conditional(weight: Float[Tensor, "out n"], factor: Float[Tensor, "n n"]) -> Float[Tensor, "out n"]:
    """w_ij^2 / C_jj: the loss of removing one weight, all left of these columns frozen and these free to move.

    C = U^T U with U the block of the factor that belongs to these columns: the inverse of H_i:,i: (i the first of
    them), restricted to them. APT's solution S (arXiv 2410.15567): unlike `obs`, weights left of j in the same block
    may make up for j, so C_jj >= U_jj^2.

    Example: H = [[2, 1], [1, 2]], C = [[2, -1], [-1, 2]] / 3. Removing the second of w = [1, 3] costs 9 / (2/3) = 13.5
    when the first moves, and 9 / (1/2) = 18 when it cannot (`obs`).
    """
    return weight.square() / factor.square().sum(dim=0)


def ria(weight: Float[Tensor, "out in"], gram: Float[Tensor, "in in"]) -> Float[Tensor, "out in"]:
    """(|w_ij| / sum of its row + |w_ij| / sum of its column) ||x_j||^0.5 (Zhang et al., ICLR 2024, eq. 4 and 5)."""
    size = weight.abs()
    rows = size / size.sum(dim=1, keepdim=True).clamp_min(1e-30)
    columns = size / size.sum(dim=0, keepdim=True).clamp_min(1e-30)
    return (rows + columns) * gram.diagonal().clamp_min(0) ** 0.25
