"""The objective tr(S dW G dW^T): its directions, its ridge solve and its optimum, against dense algebra."""

from __future__ import annotations

import pytest
import torch

from apt_core.base.patterns import parse_pattern
from apt_core.maths.admm import _ridge_solver, admm_mask
from apt_core.maths.hessian import LayerStats, dampened
from apt_core.maths.joint import tied_solution
from apt_core.maths.output_metric import by_loss, layer_wise
from apt_core.maths.pattern import is_exact


def inputs_of(width=12, tokens=300, seed=0):
    torch.manual_seed(seed)
    stats = LayerStats.empty(width)
    stats.add_(torch.randn(tokens, width) @ torch.randn(width, width))
    return stats.spectrum(0.01)


def outer_of(outputs=30, strong=3, seed=1):
    """A few strong directions over a floor, as gradients have."""
    torch.manual_seed(seed)
    directions = torch.randn(outputs, strong)
    return directions @ directions.T * 5 + torch.diag(torch.rand(outputs) + 0.5)


def dense_metric(metric):
    """S as a matrix: the scale put back around what `times` multiplies by."""
    return metric.times(torch.eye(len(metric.scale))) * metric.scale * metric.scale.T


def loss(change, metric, gram):
    return float(torch.trace(dense_metric(metric) @ change @ gram @ change.T))


def test_the_diagonal_and_the_strong_directions_are_kept():
    outer = outer_of()
    wanted = 0.3 * torch.eye(30) + 0.7 * outer / outer.diagonal().mean()
    found = dense_metric(by_loss(outer, 0.7, rank=10))
    assert torch.linalg.norm(found - wanted) < 0.1 * torch.linalg.norm(wanted)
    strongest = torch.linalg.eigh(wanted).eigenvectors[:, -1]
    assert strongest @ found @ strongest == pytest.approx(float(strongest @ wanted @ strongest), rel=0.05)


def test_the_example_of_the_text():
    metric = by_loss(torch.tensor([[1.0, 0.6], [0.6, 1.0]]), 1.0, rank=1)
    assert metric.values.tolist() == pytest.approx([1.6], abs=1e-5)
    assert metric.rest == pytest.approx(0.4, abs=1e-5)
    assert torch.allclose(dense_metric(metric), torch.tensor([[1.0, 0.6], [0.6, 1.0]]), atol=1e-5)


@pytest.mark.parametrize("outer", [torch.zeros(8, 8), torch.eye(8) * 7])
def test_without_preferences_all_outputs_count_alike(outer):
    assert torch.allclose(dense_metric(by_loss(outer, 0.9)), torch.eye(8), atol=1e-5)
    assert torch.allclose(dense_metric(layer_wise(8, outer)), torch.eye(8))


@pytest.mark.parametrize("rho", [0.01, 1.0, 30.0])
def test_the_ridge_solve_is_the_solution_of_its_equation(rho):
    inputs, metric = inputs_of(), by_loss(outer_of(), 0.8, rank=5)
    right = torch.randn(30, 12)
    solved = _ridge_solver(inputs, metric, rho)(right)
    again = metric.times(solved @ inputs.normal) + rho * solved
    assert torch.allclose(again, right, atol=1e-3)


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
def test_enough_steps_reach_the_optimum_of_one_big_system(pattern):
    """All kept weights of all rows at once: H = S x G by Kronecker, H_KK dW_K = H_KP W_P, solved directly."""
    inputs, metric = inputs_of(width=8), by_loss(outer_of(outputs=6), 0.8, rank=2)
    gram = inputs.normal * inputs.scale * inputs.scale.unsqueeze(1)
    torch.manual_seed(3)
    weight = torch.randn(6, 8)
    pruned, _ = admm_mask(weight, inputs, parse_pattern(pattern), 20, 0.1, 1.0, metric)
    found = tied_solution(weight, pruned, inputs, metric, 300, weight.masked_fill(pruned, 0))
    hessian = torch.kron(dense_metric(metric), gram).double()
    kept = ~pruned.flatten()
    target = weight.flatten().double()
    exact = torch.zeros(48, dtype=torch.float64)
    exact[kept] = torch.linalg.solve(hessian[kept][:, kept], (hessian @ target)[kept])
    change = exact.view(6, 8).float() - weight
    assert loss(found - weight, metric, gram) == pytest.approx(loss(change, metric, gram), rel=1e-3)
    assert not found[pruned].any()
    assert is_exact(found, parse_pattern(pattern))


def test_the_loss_falls_where_it_counts():
    """On the objective of S, the search that knows S does better than the one that does not."""
    inputs, outer = inputs_of(width=48, tokens=2000), outer_of(outputs=60)
    metric = by_loss(outer, 0.9)
    gram = inputs.normal * inputs.scale * inputs.scale.unsqueeze(1)
    weight = torch.randn(60, 48)
    losses = []
    for known in (metric, None):
        pruned, start = admm_mask(weight, inputs, parse_pattern("0.5"), 30, 0.1, 1.0, known)
        solved = tied_solution(weight, pruned, inputs, known or layer_wise(60, weight), 30, start)
        losses.append(loss(solved - weight, metric, gram))
    assert losses[0] < 0.8 * losses[1]


def test_the_spectrum_is_the_dampened_matrix():
    stats = LayerStats(torch.diag(torch.tensor([4.0, 1.0, 9.0])), 10)
    found = stats.spectrum(0.1)
    assert torch.allclose(found.scale.square(), dampened(stats.gram, 0.1).diagonal())
    assert torch.allclose(found.vectors @ torch.diag(found.values) @ found.vectors.T, found.normal, atol=1e-6)


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_layers_of_very_few_outputs(outputs, pattern):
    """One output has one direction and nothing left over; with one row, weighing it changes nothing."""
    torch.manual_seed(2)
    weight, inputs = torch.randn(outputs, 12), inputs_of()
    gradients = torch.randn(50, outputs)
    metric = by_loss(gradients.T @ gradients / 50, 0.5)
    wanted = 0.5 * torch.eye(outputs)
    outer = gradients.T @ gradients / 50
    wanted = wanted + 0.5 * outer / outer.diagonal().mean()
    if outputs < 3:  # nothing is left out: one direction and one value for the other
        assert torch.allclose(dense_metric(metric), wanted, atol=1e-4)
    pruned, found = admm_mask(weight, inputs, parse_pattern(pattern), 20, 0.1, 1.0, metric)
    solved = tied_solution(weight, pruned, inputs, metric, 10, found)
    assert torch.isfinite(solved).all()
    assert is_exact(solved, parse_pattern(pattern))
    if outputs == 1:
        plain, _ = admm_mask(weight, inputs, parse_pattern(pattern), 20, 0.1, 1.0)
        assert torch.equal(pruned, plain)


def ill_conditioned(width=256, outputs=192):
    """(weight, the statistics of bfloat16 inputs whose directions differ a hundredfold, S of a few gradients)."""
    torch.manual_seed(0)
    stats = LayerStats.empty(width)
    mixed = torch.randn(width, width) @ torch.diag(torch.logspace(0, -2, width)) @ torch.randn(width, width)
    stats.add_((torch.randn(4096, width) @ mixed / width**0.5).bfloat16())
    return torch.randn(outputs, width), stats, by_loss(outer_of(outputs), 0.5)


def in_float64(values):
    return type(values)(*(one.double() if isinstance(one, torch.Tensor) else one for one in values))


def test_the_search_loses_nothing_to_the_precision_of_its_products():
    """Rounding them, on a CPU that does, raises the loss by a fifth: float32 against the same search in float64."""
    weight, stats, metric = ill_conditioned()
    inputs, pattern = stats.spectrum(0.01), parse_pattern("0.5")
    exact_inputs, exact_metric = in_float64(inputs), in_float64(metric)
    losses = []
    for known, outputs, dtype in (
        (inputs, metric, torch.float32),
        (exact_inputs, exact_metric, torch.float64),
    ):
        pruned, start = admm_mask(weight.to(dtype), known, pattern, 25, 0.1, 1.0, outputs)
        solved = tied_solution(weight.double(), pruned, exact_inputs, exact_metric, 500, start.double())
        change = (solved - weight.double()) * exact_inputs.scale * exact_metric.scale
        losses.append(float((exact_metric.times(change @ exact_inputs.normal) * change).sum()))
    assert losses[0] < 1.01 * losses[1]
