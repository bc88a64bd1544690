"""How many weights each layer of an unstructured run loses, by an estimate of what removing them costs the loss.

Every matrix losing the same share is a convention, not an optimum. With g_ti the gradient of token t's loss at the
layer's output i and x_tj its input j, removing w_ij changes that loss by -g_ti w_ij x_tj to first order, and

    1/2 sum_t (g_ti w_ij x_tj)^2   =   1/2 w_ij^2 * sum_t g_ti^2 x_tj^2

estimates what all tokens together lose: the diagonal of the empirical Fisher matrix (as in Optimal Brain Damage);
nothing makes up for the removal. The sum runs over the tokens that reach the layer.

Example: two tokens with g = 1, 2 and x = 3, 1 at one weight w = 2: 1/2 * 4 * (1 * 9 + 4 * 1) = 26. Taking gradients
and inputs to be independent would say 1/2 * 4 * (5 / 2) * 10 = 50.

One threshold on these costs over the whole model says how much of each layer would go; the shares are kept within
`reach` of the wanted sparsity, and the whole model loses exactly as many weights as asked.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from apt_core.maths.precision import bfloat16_products

_SAMPLE = 20_000  # weights of a layer whose costs stand for all
_LEAST_COST = 1e-300  # stands for 0, so that there is a logarithm
_LEAST_SCALE = 1e-30  # where all gradients or inputs are 0
_MOST = 0.98  # of a layer, however little its removal costs
_HALVINGS = 60


class Cost(NamedTuple):
    """What removing each of a layer's weights would cost: the log of a sorted sample, and how many there are."""

    logs: Tensor
    weights: int


class Fisher:
    """The diagonal of the empirical Fisher matrix, sum over tokens of g_i^2 x_j^2, at a sample of a layer's weights."""

    def __init__(self, outputs: int, inputs: int, device: torch.device | str = "cpu"):
        self._weights = outputs * inputs
        generator = torch.Generator().manual_seed(0)
        places = torch.randint(self._weights, (min(_SAMPLE, self._weights),), generator=generator).to(device)
        self._rows, self._columns = places // inputs, places % inputs
        self._sums = torch.zeros(len(places), dtype=torch.float64)

    def add_(self, gradients: Float[Tensor, "tokens out"], inputs: Float[Tensor, "tokens in"]) -> None:
        """Count these tokens. Of bfloat16 numbers the products are rounded to bfloat16 where that is faster.

        Both are scaled to a largest value of 1 first: their squares are below float32's smallest number sooner than
        one thinks, so the sums are in float64 too.
        """
        scales = [one.abs().amax().float().clamp_min(_LEAST_SCALE) for one in (gradients, inputs)]
        g, x = (
            (one.float() / scale).square_() for one, scale in zip((gradients, inputs), scales, strict=True)
        )
        with bfloat16_products(gradients.dtype == torch.bfloat16):
            found = (g.T @ x)[self._rows, self._columns]
        self._sums += found.cpu().double() * float(scales[0]) ** 2 * float(scales[1]) ** 2

    def cost(self, weight: Float[Tensor, "out in"]) -> Cost:
        """What removing each weight of the sample would cost, but for the factor 1/2 that they share."""
        sizes = weight[self._rows.to(weight.device), self._columns.to(weight.device)].detach().cpu().double()
        costs = sizes.square() * self._sums
        return Cost(costs.clamp_min(_LEAST_COST).log().float().sort().values, self._weights)


def tempered(costs: list[Cost], strength: float) -> list[Cost]:
    """The same costs with layers further apart or closer together, each layer's own weights as they were.

    The median log of layer l becomes m + strength (median_l - m), with m the mean of the medians: 1 changes nothing, 0
    makes all layers cost the same in the middle. How far layers lie apart is what the estimate knows least: it
    takes no layer's removals to be made up for by those behind it.

    Example: medians -4 and -2 with strength 0.5: -3.5 and -2.5.
    """
    if strength == 1 or not costs:
        return costs
    medians = [float(cost.logs.median()) for cost in costs]
    mean = fmean(medians)
    return [
        cost._replace(logs=cost.logs + (strength - 1) * (median - mean))
        for cost, median in zip(costs, medians, strict=True)
    ]


def removals(costs: list[Cost], sparsity: float, reach: float) -> list[int]:
    """How many weights each layer loses; together round(sparsity x all weights), each within `reach`.

    Example: two layers of 100 weights, one ten times as costly, half to go, reach 0.1: 60 and 40.
    """
    if not costs:
        return []
    least, most = max(0.0, sparsity - reach), min(sparsity + reach, max(_MOST, sparsity))
    total = round(sparsity * sum(cost.weights for cost in costs))
    low, high = min(float(c.logs[0]) for c in costs) - 1, max(float(c.logs[-1]) for c in costs) + 1
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if sum(_counts(costs, middle, least, most)) < total:
            low = middle
        else:
            high = middle
    fewer, more = _counts(costs, low, least, most), _counts(costs, high, least, most)
    return _made_exact(_between(fewer, more, total), costs, total)


def _counts(costs: list[Cost], threshold: float, least: float, most: float) -> list[int]:
    below = (float((cost.logs < threshold).float().mean()) for cost in costs)
    return [
        math.floor(min(max(share, least), most) * cost.weights)
        for share, cost in zip(below, costs, strict=True)
    ]


def _between(fewer: list[int], more: list[int], total: int) -> list[int]:
    """Where many weights cost the same, no threshold splits them: the part of the way that reaches `total`."""
    gap = sum(more) - sum(fewer)
    share = min(max((total - sum(fewer)) / gap, 0), 1) if gap else 0
    return [low + math.floor(share * (high - low)) for low, high in zip(fewer, more, strict=True)]


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
