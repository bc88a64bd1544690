"""Masks found jointly, and targets that lean on the dense model."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from apt_core.base.errors import NotPositiveDefinite
from apt_core.base.patterns import parse_pattern
from apt_core.maths.admm import Projection, admm_mask
from apt_core.maths.alps import alps_mask
from apt_core.maths.compensate import full_compensation
from apt_core.maths.drift import corrected
from apt_core.maths.error import quadratic_trace
from apt_core.maths.hessian import LayerStats, dampened, spectrum
from apt_core.maths.joint import joint_solution
from apt_core.maths.pattern import choose_in_matrix
from apt_core.maths.saliency import wanda


def problem(out=32, width=64, tokens=500, seed=0):
    torch.manual_seed(seed)
    inputs = torch.randn(tokens, width) @ torch.randn(width, width) / width**0.5 + 0.5 * torch.randn(
        tokens, 1
    )
    stats = LayerStats.empty(width)
    stats.add_(inputs)
    return torch.randn(out, width), stats, inputs


@pytest.mark.parametrize("pattern", ["0.5", "0.7", "2:4", "4:8"])
def test_joint_masks_lose_less_than_wandas_with_the_same_compensation(pattern):
    weight, stats, _ = problem()
    wanted, hessian = parse_pattern(pattern), dampened(stats.gram, 0.01)

    def loss(pruned):
        return quadratic_trace(full_compensation(weight, pruned, hessian) - weight, hessian)

    by_wanda = loss(choose_in_matrix(wanda(weight, stats.gram), wanted))
    assert loss(admm_mask(weight, spectrum(hessian), wanted, 30, 0.1, 1.0)[0]) < 0.9 * by_wanda
    assert loss(alps_mask(weight, hessian, wanted)[0]) < 0.9 * by_wanda


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
def test_the_search_is_the_textbooks(pattern):
    """B, D and V as the module's text has them, in float64 and with nothing saved."""
    weight, stats, _ = problem()
    wanted, inputs = parse_pattern(pattern), spectrum(dampened(stats.gram, 0.01))
    start = (weight * inputs.scale).double()
    project, normal = Projection(wanted, weight), inputs.normal.double()
    kept, dual = project(start), torch.zeros_like(start)
    for step in range(12):
        if step % 5 == 0:
            rho = 0.1 * 10 ** (step / 11)
            ridge = normal + rho * torch.eye(len(normal), dtype=torch.float64)
        solved = torch.linalg.solve(ridge, start @ normal - dual + rho * kept, left=False)
        kept = project(solved + dual / rho)
        dual = dual + rho * (solved - kept)
    pruned, found = admm_mask(weight, inputs, wanted, 12, 0.1, 1.0)
    expected = (kept + dual / rho) / inputs.scale  # what the last projection was given
    assert torch.allclose(found.double(), expected.masked_fill(pruned, 0), atol=1e-3)


@pytest.mark.parametrize("at_once", [7, 100, 1000])
def test_statistics_are_those_of_all_tokens_however_many_are_added_up_together(at_once, monkeypatch):
    monkeypatch.setattr("apt_core.maths.hessian._TOKENS_AT_ONCE", at_once)
    _, stats, inputs = problem(tokens=300)
    dense = inputs + torch.randn_like(inputs)
    stats.add_drift_(inputs, dense)
    stats.add_drift_(inputs, dense)
    assert stats.tokens == 300
    assert torch.allclose(stats.gram, inputs.T @ inputs, rtol=1e-4, atol=1e-2)
    assert torch.allclose(stats.drift, 2 * (dense - inputs).T @ inputs, rtol=1e-4, atol=1e-2)


def test_on_a_row_small_enough_to_try_them_all_admm_is_near_the_best_mask():
    excess = []
    for seed in range(10):
        weight, stats, _ = problem(out=1, width=10, tokens=60, seed=seed)
        hessian = dampened(stats.gram, 0.01)
        losses = []
        for gone in combinations(range(10), 5):
            pruned = torch.zeros(1, 10, dtype=torch.bool)
            pruned[0, list(gone)] = True
            losses.append(quadratic_trace(full_compensation(weight, pruned, hessian) - weight, hessian))
        pruned, _ = admm_mask(weight, spectrum(hessian), parse_pattern("0.5"), 60, 0.03, 1.0)
        found = quadratic_trace(full_compensation(weight, pruned, hessian) - weight, hessian)
        assert found >= min(losses) * 0.999
        excess.append(found / min(losses))
    assert sorted(excess)[5] < 1.5  # median over ten problems


def test_the_fast_projections_agree_with_the_exact_ones():
    weight = torch.randn(64, 64)
    for pattern in ("2:4", "1:4", "0.5"):
        wanted = parse_pattern(pattern)
        exact = Projection(wanted, weight, sample=None)(weight)
        fast = Projection(wanted, weight)(weight)
        assert ((exact != 0) == (fast != 0)).float().mean() > 0.98
        if ":" in pattern:
            assert torch.equal(exact, fast)


def test_more_steps_lead_to_the_full_solution():
    weight, stats, _ = problem()
    hessian, pruned = dampened(stats.gram, 0.01), torch.rand(32, 64) < 0.5
    exact = full_compensation(weight, pruned, hessian)
    best = quadratic_trace(exact - weight, hessian)
    start = weight.masked_fill(pruned, 0)
    losses = [
        quadratic_trace(joint_solution(weight, pruned, hessian, steps, start) - weight, hessian)
        for steps in (0, 5, 20, 200)
    ]
    assert losses[0] > losses[1] > losses[2] >= losses[3] >= best * 0.999
    assert losses[3] == pytest.approx(best, rel=1e-2)


def test_the_search_hands_over_weights_that_are_already_good():
    """Beginning at zero instead would need many more steps: whole rows are badly conditioned."""
    weight, stats, _ = problem(out=48, width=96, tokens=300)
    hessian, wanted = dampened(stats.gram, 0.01), parse_pattern("0.5")
    for found in (
        admm_mask(weight, spectrum(hessian), wanted, 30, 0.1, 1.0),
        alps_mask(weight, hessian, wanted),
    ):
        pruned, near = found
        assert not near[pruned].any()
        best = quadratic_trace(full_compensation(weight, pruned, hessian) - weight, hessian)
        solved = joint_solution(weight, pruned, hessian, 10, near)
        assert quadratic_trace(solved - weight, hessian) < 1.02 * best


def test_the_corrected_weight_is_the_least_squares_answer_for_the_mixed_target():
    weight, stats, inputs = problem(tokens=400)
    dense_inputs = inputs + 0.3 * torch.randn_like(inputs)
    stats.add_drift_(inputs, dense_inputs)
    share, ridge = 0.4, 0.1
    wanted = (share * (dense_inputs - inputs)).double() @ weight.T.double()
    held = (ridge**0.5) * stats.gram.diagonal().sqrt().diag().double()  # a tenth of every input's energy
    rows = torch.cat([inputs.double(), held])
    change = torch.linalg.lstsq(rows, torch.cat([wanted, held.new_zeros(len(held), len(weight))])).solution.T
    found = corrected(weight, stats, share, 1e-7).double()
    assert torch.allclose(found, weight.double() + change, atol=2e-3)
    assert (found - weight).norm() > 0.1


def test_without_a_dense_stream_nothing_is_corrected():
    weight, stats, _ = problem()
    assert corrected(weight, stats, 0.5, 0.01) is weight


def test_an_indefinite_hessian_is_refused():
    indefinite = torch.eye(16)
    indefinite[0, 1] = indefinite[1, 0] = 3.0
    by_admm = lambda weight, hessian, pattern: admm_mask(weight, spectrum(hessian), pattern, 9, 0.1, 1.0)  # noqa: E731
    for choose in (alps_mask, by_admm):
        with pytest.raises(NotPositiveDefinite):
            choose(torch.randn(4, 16), indefinite, parse_pattern("2:4"))
