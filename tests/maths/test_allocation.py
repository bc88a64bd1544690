"""Removals shared out over layers: exact in sum, within reach, fewer where the loss is more sensitive."""

from __future__ import annotations

import pytest
import torch

from apt_core.maths.allocation import Cost, Fisher, removals, tempered


def cost_of(weight, outputs, inputs):
    """Of one token with these squared gradients and squared inputs."""
    fisher = Fisher(*weight.shape)
    fisher.add_(outputs.sqrt().unsqueeze(0), inputs.sqrt().unsqueeze(0))
    return fisher.cost(weight)


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


def test_layers_of_one_cost_do_not_push_others_out_of_reach():
    """No threshold can split weights that all cost nothing: two silent layers must not overdraw the third."""
    silent = [cost_of(torch.randn(40, 50), torch.zeros(40), torch.ones(50)) for _ in range(2)]
    found = removals([*silent, cost(1.0)], 0.5, 0.2)
    assert sum(found) == 3000
    assert all(0.3 * 2000 - 2 <= count <= 0.7 * 2000 + 2 for count in found)


def test_costs_below_the_smallest_float32_keep_their_order():
    torch.manual_seed(0)
    weight = torch.randn(40, 50) * 1e-3
    tiny = cost_of(weight, torch.full((40,), 1e-30), torch.full((50,), 1e-12))
    tinier = cost_of(weight, torch.full((40,), 1e-30), torch.full((50,), 1e-14))
    assert torch.allclose(tiny.logs - tinier.logs, torch.tensor(100.0).log(), atol=1e-3)


def test_gradients_and_inputs_are_not_taken_to_be_independent():
    """The example of the module: 26 with the factor 1/2, where the product of means says 50."""
    fisher = Fisher(1, 1)
    fisher.add_(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [1.0]]))
    assert float(fisher.cost(torch.tensor([[2.0]])).logs.double().exp()[0]) / 2 == pytest.approx(26)


def test_bfloat16_costs_are_those_of_float32_within_its_rounding():
    torch.manual_seed(0)
    gradients, inputs, weight = torch.randn(300, 40) * 1e-6, torch.randn(300, 50), torch.randn(40, 50)
    both, given = [], (gradients.clone(), inputs.clone())
    for dtype in (torch.float32, torch.bfloat16):
        fisher = Fisher(40, 50)
        fisher.add_(gradients.to(dtype), inputs.to(dtype))
        both.append(fisher.cost(weight).logs)
    assert torch.allclose(*both, atol=0.03)
    assert torch.equal(gradients, given[0]) and torch.equal(inputs, given[1]), (
        "what is counted stays as it is"
    )


def test_an_experts_cost_is_that_of_all_tokens_it_sees():
    """Brute force: take a weight out of one of two experts, look at every token's loss, square and add up.

    The loss of a token is a smooth function of its expert's outputs; of a small part of a weight, its change is
    linear. One expert sees 200 tokens, the other 800.
    """
    torch.manual_seed(0)
    width, out, part = 12, 10, 1e-4
    weights = [torch.randn(out, width, dtype=torch.float64) for _ in range(2)]
    tokens = [torch.randn(count, width, dtype=torch.float64) for count in (200, 800)]
    targets = [torch.randn(len(seen), out, dtype=torch.float64) for seen in tokens]

    def losses(weight, seen, wanted):  # one per token
        return torch.log(torch.cosh(seen @ weight.T - wanted)).sum(dim=1)

    brute, estimated = [], []
    for weight, seen, wanted in zip(weights, tokens, targets, strict=True):
        total = 0.0
        for i in range(out):
            for j in range(width):
                less = weight.clone()
                less[i, j] *= 1 - part
                change = (losses(less, seen, wanted) - losses(weight, seen, wanted)) / part
                total += float(change.square().sum()) / 2
        brute.append(total)
        gradients = torch.tanh(seen @ weight.T - wanted)  # of log cosh, by hand
        fisher = Fisher(out, width)
        for part_of in torch.arange(len(seen)).chunk(3):  # as windows come
            fisher.add_(gradients[part_of].float(), seen[part_of].float())
        per_weight = fisher.cost(weight.float()).logs.double().exp()
        estimated.append(float(per_weight.mean()) * weight.numel() / 2)
    assert brute[1] / brute[0] == pytest.approx(4, rel=0.3)
    assert estimated == pytest.approx(brute, rel=0.15)  # 120 weights drawn with replacement


def test_no_layers_lose_nothing():
    assert removals([], 0.5, 0.2) == []


def test_strength_moves_layers_apart_or_together():
    costs = [Cost(torch.tensor([-5.0, -4.0, -3.0]), 300), Cost(torch.tensor([-3.0, -2.0, -1.0]), 300)]
    half = tempered(costs, 0.5)
    assert [float(cost.logs.median()) for cost in half] == [-3.5, -2.5]
    assert torch.equal(half[0].logs - half[0].logs[0], costs[0].logs - costs[0].logs[0])
    assert tempered(costs, 1.0) is costs
    none = tempered(costs, 0.0)
    assert torch.equal(none[0].logs, none[1].logs)
    assert removals(none, 0.5, 0.25) == [150, 150]


def test_the_weaker_the_nearer_to_uniform():
    generator = torch.Generator().manual_seed(0)
    costs = [
        Cost(torch.randn(1000, generator=generator).sort().values + shift, 1000) for shift in (-1.0, 0.0, 2.0)
    ]
    spreads = []
    for strength in (0.0, 0.5, 1.0, 1.5):
        lost = removals(tempered(costs, strength), 0.5, 0.5)
        assert sum(lost) == 1500
        spreads.append(max(lost) - min(lost))
    assert spreads == sorted(spreads) and spreads[0] < spreads[-1]
