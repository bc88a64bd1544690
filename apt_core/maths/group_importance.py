"""What the loss loses with a row or a column of a weight, by LLM-Pruner (arXiv 2305.11627).

With g the gradient of the mean loss and F the mean over windows of the squares of its gradients (the diagonal of the
Fisher information):

    vectorize     |sum of W g|            l1  sum of |W|
    param_first   sum of |W g|            l2  sum of W^2
    param_second  sum of |W F W|
    param_mix     sum of |W g - W F W / 2|
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class WeightGradients(NamedTuple):
    """Of one weight: the mean gradient over windows, and the mean of its squares; None where no rule asks for them."""

    mean: Float[Tensor, "out in"] | None = None
    squares: Float[Tensor, "out in"] | None = None


def importance_along(
    weight: Float[Tensor, "out in"], gradients: WeightGradients, rule: str, dimension: int
) -> Float[Tensor, places]:
    """Of each row (dimension 0) or column (dimension 1).

    Example: W = [[1, -2]], g = [[3, 1]] by rows: param_first |3| + |-2| = 5, vectorize |3 - 2| = 1.
    """
    single = _of_each(weight, gradients, rule)
    summed = single.sum(dim=1 - dimension)
    return summed.abs() if rule == "vectorize" else summed


def _of_each(weight: Tensor, gradients: WeightGradients, rule: str) -> Tensor:
    if rule == "l1":
        return weight.abs()
    if rule == "l2":
        return weight.square()
    first = torch.zeros_like(weight) if gradients.mean is None else weight * gradients.mean
    second = torch.zeros_like(weight) if gradients.squares is None else weight.square() * gradients.squares
    by_rule = {
        "vectorize": first,
        "param_first": first.abs(),
        "param_second": second.abs(),
        "param_mix": (first - second / 2).abs(),
    }
    return by_rule[rule]
