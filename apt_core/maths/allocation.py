"""How many weights each layer of an unstructured run loses, by an estimate of what removing them costs the loss.

Every matrix losing the same share is a convention, not an optimum. With g_ti the gradient of token t's loss at the
layer's output i and x_tj its input j, removing w_ij changes that loss by -g_ti w_ij x_tj to first order, and

    1/2 sum_t (g_ti w_ij x_tj)^2   is about   1/2 w_ij^2 * (mean of g_ti^2 over tokens) * (sum of x_tj^2 over tokens)

estimates what all tokens together lose: the diagonal of the empirical Fisher matrix (as in Optimal Brain Damage), with
gradients and inputs taken to be independent; nothing makes up for the removal. The sums run over the tokens that reach
the layer, so an expert that sees twice the tokens costs twice as much, not four times: one factor is a mean, the other
a sum, and dividing both by the tokens of the whole text would change no comparison.

One threshold on these costs over the whole model says how much of each layer would go; the shares are kept within
`reach` of the wanted sparsity, and the whole model loses exactly as many weights as asked.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

_SAMPLE = 20_000  # weights of a layer whose costs stand for all
_LEAST_COST = 1e-300  # stands for 0, so that there is a logarithm
_MOST = 0.98  # of a layer, however little its removal costs
_HALVINGS = 60


class Cost(NamedTuple):
    """What removing each of a layer's weights would cost: the log of a sorted sample, and how many there are."""

    logs: Tensor
    weights: int


def cost_of(weight: Tensor, outputs: Tensor, inputs: Tensor) -> Cost:
    """weight: [out, in]; outputs: [out] mean over tokens of squared gradients; inputs: [in] sums of squares.

    In float64: three small factors are below float32's smallest number sooner than one thinks.
    """
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(weight.numel(), (min(_SAMPLE, weight.numel()),), generator=generator)
    rows, columns = places // weight.shape[1], places % weight.shape[1]
    factors = (weight[rows, columns], outputs.cpu()[rows], inputs.cpu()[columns])
    sizes, gradients, energies = (factor.detach().cpu().double() for factor in factors)
    costs = sizes.square() * gradients * energies
    return Cost(costs.clamp_min(_LEAST_COST).log().float().sort().values, weight.numel())


def tempered(costs: list[Cost], strength: float) -> list[Cost]:
    """The same costs with layers further apart or closer together, each layer's own weights as they were.

    The median log of layer l becomes m + strength (median_l - m), with m the mean of the medians: 1 changes nothing, 0
    makes all layers cost the same in the middle. How far layers lie apart is what the estimate knows least: it takes
    gradients and inputs to be independent, and no layer's removals to be made up for by those behind it.

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
