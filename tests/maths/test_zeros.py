"""Exact zeros: what a mask takes is +0 to the bit, whatever it was, and nothing else changes."""

from __future__ import annotations

import pytest
import torch

from apt_core.maths.pattern import lowest_per_group
from apt_core.maths.zeros import zeroed, zeroed_


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_is_masked_is_plus_zero_and_the_rest_stays_to_the_bit(dtype):
    torch.manual_seed(0)
    values, where = torch.randn(33, 65).to(dtype), torch.rand(33, 65) < 0.5
    values[where.nonzero()[:4].unbind(1)] = torch.tensor([-0.0, torch.nan, torch.inf, -3.0]).to(dtype)
    before, found = values.clone(), zeroed(values, where)
    assert torch.equal(values.nan_to_num(7), before.nan_to_num(7)), "a copy is zeroed, not what was given"
    assert bool((found[where] == 0).all()) and not bool(torch.signbit(found[where]).any())
    assert torch.equal(found[~where], before[~where])


def test_a_part_of_a_matrix_and_a_mask_of_columns():
    whole, columns = torch.ones(4, 6), torch.tensor([True, False, True])
    assert zeroed_(whole[:, 3:], columns) is not None
    assert torch.equal(whole, torch.tensor([[1.0, 1, 1, 0, 1, 0]]).expand(4, 6))


@pytest.mark.parametrize("keep,of", [(2, 4), (1, 4), (4, 8), (1, 2), (5, 8), (7, 16)])
@pytest.mark.parametrize("rows", [1, 3000])
def test_the_lowest_of_a_group_are_those_of_a_stable_sort(keep, of, rows):
    """Many groups are compared in pairs; with ties, which go from the left."""
    scores = torch.randint(0, 5, (rows, 4 * of), generator=torch.Generator().manual_seed(1)).float()
    order = scores.reshape(-1, of).argsort(dim=1, stable=True)[:, : of - keep]
    wanted = torch.zeros(rows * 4, of, dtype=torch.bool).scatter_(1, order, True)
    assert torch.equal(lowest_per_group(scores, keep, of), wanted.reshape(scores.shape))
