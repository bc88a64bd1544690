"""The closed form against least squares, brute force and the single-removal special case."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apt_core.base.errors import NotPositiveDefinite
from apt_core.maths.compensate import (
    block_multipliers,
    conjugate_gradients,
    full_compensation,
    solve_on_support,
)
from apt_core.maths.error import quadratic_trace, relative_error
from apt_core.maths.hessian import LayerStats, dampened, inverse_factor
from apt_core.maths.removal_sets import cheapest_set, greedy_set, removal_sets


def correlated(width: int, tokens: int, seed: int) -> torch.Tensor:
    """Inputs [tokens, width] with a common direction, as real activations have."""
    torch.manual_seed(seed)
    return torch.randn(tokens, width) @ torch.randn(width, width) / width**0.5 + 0.5 * torch.randn(tokens, 1)


def gram(width: int, seed: int = 0) -> torch.Tensor:
    inputs = correlated(width, 4 * width + 8, seed)
    return inputs.T @ inputs


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.8])
def test_full_compensation_is_least_squares_on_the_kept_columns(sparsity):
    torch.manual_seed(1)
    inputs = correlated(24, 200, 1).double()
    weight, pruned = torch.randn(10, 24), torch.rand(10, 24) < sparsity
    solved = full_compensation(weight, pruned, (inputs.T @ inputs).float())
    for row in range(10):
        kept = ~pruned[row]
        target = inputs @ weight[row].double()
        expected = torch.linalg.lstsq(inputs[:, kept], target.unsqueeze(1)).solution.squeeze(1)
        assert torch.allclose(solved[row, kept].double(), expected, atol=2e-3)
        assert not solved[row, pruned[row]].any()


def test_full_compensation_is_the_closed_form_of_the_paper():
    torch.manual_seed(2)
    hessian = gram(12)
    inverse = torch.linalg.inv(hessian.double())
    weight, pruned = torch.randn(6, 12), torch.rand(6, 12) < 0.4
    solved = full_compensation(weight, pruned, hessian)
    for row in range(6):
        gone = pruned[row].nonzero().squeeze(1)
        change = -weight[row, gone].double() @ torch.linalg.inv(inverse[gone][:, gone]) @ inverse[gone]
        assert torch.allclose(solved[row].double(), weight[row].double() + change, atol=1e-3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])  # below and above one half: both systems
def test_one_block_that_spans_the_row_equals_the_full_solution(share):
    torch.manual_seed(3)
    hessian = gram(32)
    weight, pruned = torch.randn(40, 32), torch.rand(40, 32) < share
    factor = inverse_factor(hessian)
    solved = weight - block_multipliers(weight, pruned, factor) @ factor
    assert torch.allclose(solved, full_compensation(weight, pruned, hessian), atol=2e-3)


def test_rows_that_lose_nothing_or_everything():
    hessian = gram(8)
    weight = torch.randn(3, 8)
    pruned = torch.zeros(3, 8, dtype=torch.bool)
    pruned[1] = True
    factor = inverse_factor(hessian)
    solved = weight - block_multipliers(weight, pruned, factor) @ factor
    assert torch.allclose(solved[0], weight[0], atol=1e-5)
    assert torch.allclose(solved[1], torch.zeros(8), atol=1e-4)


def test_later_columns_take_the_compensation_too():
    """Removing in a left block must move the right columns exactly as the full formula with P in the block."""
    torch.manual_seed(4)
    hessian = gram(20)
    weight = torch.randn(7, 20)
    pruned = torch.zeros(7, 20, dtype=torch.bool)
    pruned[:, :8] = torch.rand(7, 8) < 0.5
    factor = inverse_factor(hessian)
    z = block_multipliers(weight[:, :8], pruned[:, :8], factor[:8, :8])
    solved = weight - z @ factor[:8]
    assert torch.allclose(solved, full_compensation(weight, pruned, hessian), atol=2e-3)


def test_one_removed_weight_is_optimal_brain_surgeon():
    torch.manual_seed(5)
    hessian = gram(10)
    inverse = torch.linalg.inv(hessian.double()).float()
    weight = torch.randn(1, 10)
    for column in range(10):
        pruned = torch.zeros(1, 10, dtype=torch.bool)
        pruned[0, column] = True
        expected = weight[0] - weight[0, column] / inverse[column, column] * inverse[:, column]
        solved = full_compensation(weight, pruned, hessian)[0]
        assert torch.allclose(solved, expected, atol=1e-3)
        loss = quadratic_trace(solved[None] - weight, hessian)
        assert loss == pytest.approx(float(weight[0, column] ** 2 / inverse[column, column]), rel=1e-3)


@given(width=st.integers(2, 24), seed=st.integers(0, 1000), share=st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_joint_compensation_is_never_worse_than_any_other(width, seed, share):
    hessian = gram(width, seed)
    weight, pruned = torch.randn(4, width), torch.rand(4, width) < share
    solved = full_compensation(weight, pruned, hessian)
    best = quadratic_trace(solved - weight, hessian)
    slack = 1e-3 * quadratic_trace(weight, hessian)
    assert best <= quadratic_trace(weight * pruned, hessian) + slack  # no compensation
    other = solved + 0.1 * torch.randn_like(solved) * ~pruned
    assert best <= quadratic_trace(other - weight, hessian) + slack


@given(width=st.integers(2, 20), seed=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_a_diagonal_gram_needs_no_compensation(width, seed):
    torch.manual_seed(seed)
    hessian = torch.diag(torch.rand(width) + 0.1)
    weight, pruned = torch.randn(5, width), torch.rand(5, width) < 0.5
    factor = inverse_factor(hessian)
    solved = weight - block_multipliers(weight, pruned, factor) @ factor
    assert torch.allclose(solved, weight.masked_fill(pruned, 0), atol=1e-4)


def test_ragged_supports_are_padded_without_a_trace():
    torch.manual_seed(6)
    hessian = gram(16)
    target, support = torch.randn(50, 16), torch.rand(50, 16) < torch.rand(50, 1)
    solved = solve_on_support(hessian, target, support)
    assert not solved[~support].any()
    back = solved @ hessian
    assert torch.allclose(back[support], target[support], atol=2e-2)


@pytest.mark.parametrize(("keep", "of"), [(2, 4), (1, 4), (3, 4), (1, 2), (4, 8)])
def test_mask_m_is_the_cheapest_of_all_sets(keep, of):
    torch.manual_seed(7)
    hessian = gram(of + 6, seed=of)
    factor = inverse_factor(hessian)
    weight = torch.randn(20, of)
    pruned, z = (part.T for part in cheapest_set(weight.T, removal_sets(factor[:of, :of][None], keep), 0))
    inverse = torch.linalg.inv(hessian.double())[:of, :of]
    for row in range(20):
        losses = {}
        for gone in combinations(range(of), of - keep):
            index = list(gone)
            w = weight[row, index].double()
            losses[gone] = float(w @ torch.linalg.inv(inverse[index][:, index]) @ w)
        chosen = tuple(pruned[row].nonzero().squeeze(1).tolist())
        assert losses[chosen] <= min(losses.values()) * (1 + 1e-4)
    assert torch.allclose(z, block_multipliers(weight, pruned, factor[:of, :of]), atol=1e-3)


def test_a_badly_conditioned_system_is_solved_directly():
    """Conjugate gradients alone would give up here; the answer must not."""
    torch.manual_seed(11)
    basis = torch.linalg.qr(torch.randn(40, 40, dtype=torch.float64)).Q
    matrix = ((basis * torch.logspace(0, -5, 40, dtype=torch.float64)) @ basis.T).float()
    expected, support = torch.randn(6, 40), torch.ones(6, 40, dtype=torch.bool)
    target = (expected.double() @ matrix.double()).float()
    _, residual = conjugate_gradients(matrix, target, support, 1e-6, 20)
    assert residual.max() > 1e-5
    solved = solve_on_support(matrix, target, support)
    assert torch.allclose(solved @ matrix, target, atol=1e-4)


def test_the_greedy_set_agrees_where_only_one_weight_goes_and_is_exact_in_its_compensation():
    torch.manual_seed(8)
    factor = inverse_factor(gram(12))[:8, :8]
    weight = torch.randn(30, 8)
    best, _ = cheapest_set(weight.T, removal_sets(factor[None], 7), 0)
    greedy, z = greedy_set(weight.T, factor, 7)
    assert torch.equal(best, greedy)
    greedy, z = (part.T for part in greedy_set(weight.T, factor, 3))
    assert (greedy.sum(dim=1) == 5).all()
    assert torch.allclose(z, block_multipliers(weight, greedy, factor), atol=1e-3)


def test_the_factor_reproduces_the_inverse_and_its_trailing_inverses():
    hessian = gram(14)
    factor = inverse_factor(hessian)
    assert torch.allclose(factor, factor.triu())
    assert torch.allclose(factor.T @ factor, torch.linalg.inv(hessian), atol=1e-4)
    for start in (3, 9):
        trailing = torch.linalg.inv(hessian[start:, start:])
        assert torch.allclose(factor[start:, start:].T @ factor[start:, start:], trailing, atol=1e-4)


def test_a_matrix_that_is_not_positive_definite_is_refused():
    with pytest.raises(NotPositiveDefinite, match=r"dampening 0\.01"):
        inverse_factor(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), 0.01)


def test_a_singular_gram_is_solved_through_dampening():
    inputs = torch.randn(3, 12)  # fewer tokens than inputs
    factor = inverse_factor(dampened(inputs.T @ inputs, 0.01))
    assert torch.isfinite(factor).all()


def test_gram_is_the_same_in_any_batching_and_counts_tokens():
    inputs = correlated(12, 60, 9)
    whole, parts = LayerStats.empty(12), LayerStats.empty(12)
    whole.add_(inputs)
    for part in inputs.reshape(6, 10, 12):
        parts.add_(part[None].bfloat16().float())
    assert whole.tokens == parts.tokens == 60
    assert torch.allclose(whole.gram, parts.gram, rtol=2e-2, atol=0.5)
    assert torch.allclose(whole.gram, inputs.T @ inputs, atol=1e-3)


def test_relative_error_is_the_share_of_output_energy_that_is_lost():
    inputs = correlated(6, 50, 10)
    weight = torch.randn(4, 6)
    changed = weight.clone()
    changed[:, 2] = 0
    expected = ((changed - weight) @ inputs.T).square().sum() / (weight @ inputs.T).square().sum()
    assert relative_error(weight, changed, inputs.T @ inputs) == pytest.approx(float(expected), rel=1e-4)
    assert relative_error(torch.zeros(4, 6), torch.zeros(4, 6), inputs.T @ inputs) == 0


def test_a_singular_system_is_refused_and_not_answered_with_infinities():
    weight, pruned = torch.randn(2, 4), torch.tensor([[True, False, False, True]] * 2)
    with pytest.raises(NotPositiveDefinite):
        full_compensation(weight, pruned, torch.zeros(4, 4))
