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


def ria(weight: Float[Tensor, "out in"], gram: Float[Tensor, "in in"]) -> Float[Tensor, "out in"]:
    """(|w_ij| / sum of its row + |w_ij| / sum of its column) ||x_j||^0.5 (Zhang et al., ICLR 2024, eq. 4 and 5)."""
    size = weight.abs()
    rows = size / size.sum(dim=1, keepdim=True).clamp_min(1e-30)
    columns = size / size.sum(dim=0, keepdim=True).clamp_min(1e-30)
    return (rows + columns) * gram.diagonal().clamp_min(0) ** 0.25
