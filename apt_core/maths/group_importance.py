"""Importance of the rows and columns of a weight to the loss, as in LLM-Pruner (arXiv 2305.11627).

With g the gradient of the mean loss and F the mean over windows of the squares of its gradients (the diagonal of the
Fisher information):

    vectorize     |sum of W g|            l1  sum of |W|
    param_first   sum of |W g|            l2  sum of W^2
    param_second  sum of |W F W|
    param_mix     sum of |W g - W F W / 2|
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeVar

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


Key = TypeVar("Key", bound=Hashable)


def lowest_together(scores: Mapping[Key, Tensor], weights: Mapping[Key, int], to_go: float) -> dict[Key, int]:
    """How many groups of each key stay when groups of all keys go in one order, the lowest score first.

    They go until the weights that went are closest to `to_go`; the highest of each key stays. scores: [groups] of each
    key. weights: of one group.
    Example: {a: [1, 4], b: [2, 3]} of 10 and 1 weights loses one of a and one of b for 11.
    """
    keys = list(scores)
    lowest = [scores[key].sort(stable=True).values[:-1] for key in keys]
    owner = torch.cat([torch.full((len(one),), place) for place, one in enumerate(lowest)])
    order = torch.cat(lowest).argsort(stable=True)
    each = torch.tensor([weights[key] for key in keys], dtype=torch.float64)
    gone = torch.cat([torch.zeros(1, dtype=torch.float64), each[owner[order]].cumsum(0)])
    count = int((gone - to_go).abs().argmin())
    lost = owner[order[:count]].bincount(minlength=len(keys)).tolist()
    return {key: len(scores[key]) - lost[place] for place, key in enumerate(keys)}
