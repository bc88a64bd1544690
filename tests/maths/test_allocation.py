"""Removals shared out over layers: exact in sum, within reach, fewer where the loss minds more."""

from __future__ import annotations

import pytest
import torch

from apt_core.maths.allocation import Cost, cost_of, removals


def cost(scale, rows=40, columns=50, seed=0):
    torch.manual_seed(seed)
    return cost_of(torch.randn(rows, columns) * scale, torch.ones(rows), torch.ones(columns))


@pytest.mark.parametrize("reach", [0.0, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.7, 0.95])
def test_the_whole_loses_exactly_what_was_asked(sparsity, reach):
    costs = [cost(scale, rows=rows, seed=rows) for scale, rows in ((1, 30), (0.3, 41), (3, 57), (1, 7))]
    found = removals(costs, sparsity, reach)
    total = sum(one.weights for one in costs)
    assert sum(found) == round(sparsity * total)
    slack = 2 / 350  # rounding is spread over the layers
    for count, one in zip(found, costs, strict=True):
        assert sparsity - reach - slack <= count / one.weights <= min(sparsity + reach, 1) + slack


def test_costly_layers_lose_fewer():
    cheap, middle, dear = removals([cost(0.5), cost(1.0), cost(2.0)], 0.5, 0.4)
    assert cheap > middle > dear


def test_equal_layers_lose_equally():
    found = removals([cost(1.0, seed=seed) for seed in range(4)], 0.5, 0.3)
    assert max(found) - min(found) < 0.05 * 2000


def test_the_example_of_the_text():
    logs = torch.linspace(0, 1, 100)
    assert removals([Cost(logs, 100), Cost(logs + 10, 100)], 0.5, 0.1) == [60, 40]


def test_a_layer_that_the_loss_does_not_feel_gives_what_its_reach_allows():
    silent = cost_of(torch.randn(40, 50), torch.zeros(40), torch.ones(50))
    found = removals([silent, cost(1.0)], 0.5, 0.2)
    assert found[0] == pytest.approx(0.7 * 2000, abs=2)
    assert sum(found) == 2000
