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
