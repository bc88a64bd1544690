"""How many weights each layer of an unstructured run loses, when the loss has a say.

Every matrix losing the same share is a convention, not an optimum. A rough estimate of what removing the weight
w_ij costs the loss is r_i w_ij^2 c_j / 2, with r_i the mean square of the gradient at the layer's output i and
c_j the sum of squares of its input j (the diagonal of the two factors of `sensitivity`; nothing makes up for the
removal). One threshold on these costs over the whole model says how much of each layer would go; the shares
are kept within `reach` of the wanted sparsity, and the whole model loses exactly as many weights as asked.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_SAMPLE = 20_000  # weights of a layer whose costs stand for all
_MOST = 0.98  # of a layer, however little the loss minds
_HALVINGS = 60


class Cost(NamedTuple):
    """What removing each of a layer's weights would cost: the log of a sorted sample, and how many there are."""

    logs: Tensor
    weights: int


def cost_of(weight: Tensor, outputs: Tensor, inputs: Tensor) -> Cost:
    """weight: [out, in]; outputs: [out] mean squared gradients; inputs: [in] sums of squares."""
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(weight.numel(), (min(_SAMPLE, weight.numel()),), generator=generator)
    rows, columns = places // weight.shape[1], places % weight.shape[1]
    costs = weight[rows, columns].float().square() * outputs[rows] * inputs[columns]
    return Cost(costs.clamp_min(1e-38).log().sort().values, weight.numel())


def removals(costs: list[Cost], sparsity: float, reach: float) -> list[int]:
    """How many weights each layer loses; together round(sparsity x all weights), each within `reach`.

    Example: two layers of 100 weights, one ten times as costly, half to go, reach 0.1: 60 and 40.
    """
    least, most = max(0.0, sparsity - reach), min(sparsity + reach, max(_MOST, sparsity))
    total = round(sparsity * sum(cost.weights for cost in costs))
    low, high = min(float(c.logs[0]) for c in costs) - 1, max(float(c.logs[-1]) for c in costs) + 1
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if sum(_counts(costs, middle, least, most)) < total:
            low = middle
        else:
            high = middle
    return _made_exact(_counts(costs, high, least, most), costs, total)


def _counts(costs: list[Cost], threshold: float, least: float, most: float) -> list[int]:
    below = (float((cost.logs < threshold).float().mean()) for cost in costs)
    return [
        math.floor(min(max(share, least), most) * cost.weights)
        for share, cost in zip(below, costs, strict=True)
    ]


def _made_exact(counts: list[int], costs: list[Cost], total: int) -> list[int]:
    """Spread what rounding left over evenly; a few weights per layer."""
    missing = total - sum(counts)
    everything = sum(cost.weights for cost in costs)
    spread = [
        count + round(missing * cost.weights / everything) for count, cost in zip(counts, costs, strict=True)
    ]
    largest = max(range(len(costs)), key=lambda place: costs[place].weights)
    spread[largest] += total - sum(spread)
    return spread
