"""Ridge regression and the compensation of removed columns, against numpy's least squares in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apt_core.base.errors import NotPositiveDefinite
from apt_core.base.patterns import Unstructured
from apt_core.maths.alps import alps_mask
from apt_core.maths.compensate import full_compensation
from apt_core.maths.group_importance import WeightGradients, importance_along
from apt_core.maths.hessian import spectrum
from apt_core.maths.least_squares import (
    Regression,
    inverse_gram,
    ridge,
    without_columns,
    without_columns_by,
)
from apt_core.maths.removal_sets import removal_sets


def problem(seed, out, width, tokens):
    made = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=made) + torch.eye(width)
    return torch.randn(out, width, generator=made), mixing @ torch.randn(width, tokens, generator=made)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 12))
def test_the_columns_that_stay_are_numpys_least_squares(seed, out, width):
    weight, inputs = problem(seed, out, width, 6 * width)
    pruned = torch.zeros(width, dtype=torch.bool)
    pruned[torch.randperm(width, generator=torch.Generator().manual_seed(seed))[: max(1, width // 2)]] = True
    found = without_columns(weight, pruned, inputs @ inputs.T, 1e-7)
    kept = ~pruned
    x, y = inputs[kept].double().numpy().T, (weight.double() @ inputs.double()).numpy().T
    wanted = np.linalg.lstsq(x, y, rcond=None)[0].T
    error, best = ((weight - found) @ inputs).square().sum(), ((y.T - wanted @ x.T) ** 2).sum()
    assert not found[:, pruned].any()
    assert float(error) <= best * 1.02 + 1e-3 * float((weight @ inputs).square().sum())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(4, 12), st.floats(0.001, 1))
def test_zeros_of_an_earlier_run_stay_and_each_row_makes_up_with_what_it_has(seed, out, width, dampening):
    """Row by row in float64: w_K + w_P G_PK (G_KK + lambda I)^-1, K the places of the row that are not zero."""
    weight, inputs = problem(seed, out, width, 6 * width)
    weight[:, ::2] = 0
    pruned = torch.zeros(width, dtype=torch.bool)
    pruned[1:3] = True
    gram = (inputs @ inputs.T).double()
    level = dampening * gram[~pruned][:, ~pruned].diagonal().mean()
    wanted = torch.zeros(out, width, dtype=torch.float64)
    for row, w in enumerate(weight.double()):
        kept = ~pruned & (w != 0)
        system = gram[kept][:, kept] + level * torch.eye(int(kept.sum()), dtype=torch.float64)
        wanted[row, kept] = w[kept] + torch.linalg.solve(system, gram[kept][:, pruned] @ w[pruned])
    found = without_columns(weight, pruned, inputs @ inputs.T, dampening)
    torch.testing.assert_close(
        found.double(), wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()) + 1e-6
    )
    assert not found[:, pruned].any() and not found[weight == 0].any()


def test_a_zero_by_chance_is_a_weight_like_any_other():
    weight, inputs = problem(3, 20, 20, 100)
    weight[0, 5] = 0
    pruned = torch.arange(20) < 4
    assert without_columns(weight, pruned, inputs @ inputs.T, 0.01)[0, 5] != 0


def test_a_regression_is_free_where_it_may_be_other_than_zero():
    inputs, outputs = torch.randn(60, 6), torch.randn(60, 3)
    found, free = Regression(), torch.tensor([[True] * 6, [True, False] * 3, [False] * 6])
    found.add(inputs, outputs)
    solved = found.solve(1e-6, free)
    some = np.linalg.lstsq(inputs[:, ::2].double().numpy(), outputs[:, 1].double().numpy(), rcond=None)[0]
    assert solved.weight[1, ::2].tolist() == pytest.approx(some.tolist(), abs=1e-3)
    assert not solved.weight[~free].any()
    left = (outputs - inputs @ solved.weight.T).square().sum()
    assert solved.left == pytest.approx(float(left), rel=1e-3)


def test_it_is_apts_closed_form_with_the_same_set_in_every_row():
    weight, inputs = problem(0, 5, 8, 64)
    pruned = torch.tensor([True, False] * 4)
    gram = inputs @ inputs.T
    wanted = full_compensation(weight, pruned.expand(5, 8), gram)
    torch.testing.assert_close(without_columns(weight, pruned, gram, 1e-8), wanted, rtol=1e-3, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 12), st.floats(0.001, 1))
def test_from_the_inverse_it_is_the_ridge_regression_on_the_columns_that_stay(seed, out, width, dampening):
    """In float64, with the level of the whole matrix: W_K + W_P G_PK (G_KK + lambda I)^-1."""
    weight, inputs = problem(seed, out, width, 6 * width)
    pruned = torch.zeros(width, dtype=torch.bool)
    pruned[torch.randperm(width, generator=torch.Generator().manual_seed(seed))[: max(1, width // 2)]] = True
    gram, kept = (inputs @ inputs.T).double(), ~pruned
    damped = gram + dampening * gram.diagonal().mean() * torch.eye(width, dtype=torch.float64)
    moved = weight[:, pruned].double() @ gram[pruned][:, kept] @ torch.linalg.inv(damped[kept][:, kept])
    wanted = torch.zeros(out, width, dtype=torch.float64)
    wanted[:, kept] = weight[:, kept].double() + moved
    found = without_columns_by(weight, pruned, inverse_gram(inputs @ inputs.T, dampening))
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
    assert not found[:, pruned].any()


def test_the_example_from_the_inverse():
    inverse = inverse_gram(torch.tensor([[2.0, 1.0], [1.0, 2.0]]), 1e-7)
    torch.testing.assert_close(inverse, torch.tensor([[2.0, -1.0], [-1.0, 2.0]]) / 3)
    found = without_columns_by(torch.tensor([[1.0, 3.0]]), torch.tensor([True, False]), inverse)
    torch.testing.assert_close(found, torch.tensor([[0.0, 3.5]]))


def test_an_input_that_is_always_zero_makes_up_for_nothing():
    gram = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    found = without_columns_by(
        torch.tensor([[1.0, 3.0, 7.0]]), torch.tensor([True, False, False]), inverse_gram(gram, 1e-7)
    )
    torch.testing.assert_close(found, torch.tensor([[0.0, 3.5, 7.0]]))


def test_the_example():
    gram = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    found = without_columns(torch.tensor([[1.0, 3.0]]), torch.tensor([True, False]), gram, 1e-9)
    torch.testing.assert_close(found, torch.tensor([[0.0, 3.5]]))


def test_no_input_no_update_and_no_factor_no_answer():
    nothing = torch.zeros(3, 3)
    assert not ridge(nothing, torch.ones(2, 3), 0.01).any()
    with pytest.raises(NotPositiveDefinite):
        ridge(torch.tensor([[1.0, 5.0], [5.0, 1.0]]), torch.ones(1, 2), 0.01)


def test_a_regression_in_pieces_is_one_of_all():
    inputs, outputs = torch.randn(40, 6), torch.randn(40, 3)
    whole, pieces = Regression(), Regression()
    whole.add(inputs, outputs)
    for part in (slice(0, 13), slice(13, 40)):
        pieces.add(inputs[None, part], outputs[None, part])
    one, other = whole.solve(1e-6), pieces.solve(1e-6)
    torch.testing.assert_close(one.weight, other.weight, rtol=1e-4, atol=1e-4)
    left = (outputs - inputs @ one.weight.T).square().sum()
    assert one.left == pytest.approx(float(left), rel=1e-3)


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("l1", [3, 1]),
        ("l2", [5, 1]),
        ("vectorize", [1, 2]),
        ("param_first", [5, 2]),
        ("param_second", [9, 3]),
    ],
)
def test_importance_by_rows(rule, wanted):
    weight = torch.tensor([[1.0, -2.0], [0.0, 1.0]])
    gradients = WeightGradients(
        torch.tensor([[3.0, 1.0], [7.0, -2.0]]), torch.tensor([[1.0, 2.0], [5.0, 3.0]])
    )
    assert importance_along(weight, gradients, rule, 0).tolist() == wanted


def test_importance_mixes_both_terms_and_goes_by_columns():
    weight = torch.tensor([[1.0, -2.0]])
    gradients = WeightGradients(torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 2.0]]))
    assert importance_along(weight, gradients, "param_mix", 1).tolist() == [abs(3 - 0.5), abs(-2 - 4.0)]


@pytest.mark.parametrize(
    "factorised",
    [
        lambda: spectrum(torch.full((3, 3), torch.nan)),
        lambda: alps_mask(torch.ones(2, 4), torch.full((4, 4), torch.nan), Unstructured(sparsity=0.5)),
        lambda: removal_sets(torch.zeros(1, 4, 4), keep=2),
        lambda: without_columns_by(torch.ones(2, 3), torch.tensor([True, False, True]), -torch.eye(3)),
    ],
)
def test_what_a_library_cannot_factorise_asks_for_more_dampening(factorised):
    """LAPACK refuses these; cuSOLVER refuses more, in the same way."""
    with pytest.raises(NotPositiveDefinite):
        factorised()
