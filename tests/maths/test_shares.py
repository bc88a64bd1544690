"""Wishes become numbers that add up: by a budget, never beyond what a layer has."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from apt_core.maths.shares import MOST, scaled, shifted


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("sparsity", [0.05, 0.5, 0.7, 0.9, 0.985])
@pytest.mark.parametrize("fit", [scaled, shifted])
def test_the_budget_is_met_to_the_weight(fit, sparsity, seed):
    draw = random.Random(seed)
    sizes = [draw.choice([100, 577, 4096, 90_000]) for _ in range(draw.randint(1, 40))]
    wishes = [draw.uniform(0.2, 1.8) for _ in sizes]
    counts = fit(wishes, sizes, sparsity)
    assert sum(counts) == round(sparsity * sum(sizes))
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))
    order = sorted(range(len(sizes)), key=lambda place: wishes[place])
    shares = [counts[place] / sizes[place] for place in order]
    slack = max(2 / min(sizes), len(sizes) / max(sizes))
    assert all(later >= earlier - slack for earlier, later in pairwise(shares))


def test_without_clipping_a_factor_and_an_offset_are_the_closed_forms():
    sizes, wishes = [1000, 3000, 2000], [0.8, 1.0, 1.1]
    eta = 0.5 * sum(sizes) / sum(size * wish for size, wish in zip(sizes, wishes, strict=True))
    assert scaled(wishes, sizes, 0.5) == pytest.approx(
        [size * eta * wish for size, wish in zip(sizes, wishes, strict=True)], abs=1
    )
    offsets = [0.0, -0.1, 0.1]
    mean = sum(size * one for size, one in zip(sizes, offsets, strict=True)) / sum(sizes)
    assert shifted(offsets, sizes, 0.5) == pytest.approx(
        [size * (0.5 + one - mean) for size, one in zip(sizes, offsets, strict=True)], abs=1
    )


def test_the_example_of_the_docstring():
    assert scaled([0.5, 1.5], [100, 100], 0.8) == [61, 99]


def test_a_layer_that_is_full_leaves_the_rest_to_the_others():
    counts = scaled([1.0, 10.0], [10_000, 10_000], 0.9)
    assert counts[1] == round(MOST * 10_000) and sum(counts) == 18_000


def test_what_is_no_wish_is_refused():
    for wishes in ([-1.0, 1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="wishes"):
            scaled(wishes, [10, 10], 0.5)
