"""A pattern N:M for each layer, N:M on average: the budget holds, and no layer is far from its wish."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apt_core.maths.shares import kept_in_groups, scaled


def test_the_example():
    assert kept_in_groups([0.4, 0.6], [400, 400], 2, 4) == [2, 2]


def test_layers_that_are_asked_for_their_own_pattern_get_it():
    assert kept_in_groups([0.75, 0.5, 0.25], [100, 300, 100], 2, 4) == [1, 2, 3]


@given(
    st.lists(st.tuples(st.floats(0.01, 2), st.integers(1, 50)), min_size=1, max_size=12),
    st.integers(2, 16),
    st.data(),
)
def test_the_whole_keeps_at_most_the_average_and_little_less(layers, of, data):
    keep = data.draw(st.integers(1, of - 1))
    sizes = [of * size for _, size in layers]
    shares = [
        count / size
        for count, size in zip(scaled([wish for wish, _ in layers], sizes, 1 - keep / of), sizes, strict=True)
    ]
    kept = kept_in_groups(shares, sizes, keep, of)
    assert all(1 <= number <= of - 1 for number in kept)
    inside = [min(max(of * (1 - share), 1), of - 1) for share in shares]
    assert all(abs(number - wish) < 1 + 1e-6 for number, wish in zip(kept, inside, strict=True))
    total = sum(number * size for number, size in zip(kept, sizes, strict=True))
    clipped_up = sum(
        (wish - of * (1 - share)) * size for wish, share, size in zip(inside, shares, sizes, strict=True)
    )
    assert total <= keep * sum(sizes) + max(clipped_up, 0) + 1e-6 * sum(sizes)


@pytest.mark.parametrize("sizes", [[400, 400, 400], [400, 800, 400], [1200, 400, 800]])
def test_no_other_choice_of_the_same_budget_lies_nearer_to_the_wishes_where_sizes_allow(sizes):
    """Brute force over all patterns of three layers: about as much is kept as the budget lets these wishes keep."""
    shares = [0.3, 0.5, 0.62]
    kept = kept_in_groups(shares, sizes, 2, 4)
    budget = 2 * sum(sizes)
    allowed = [
        choice
        for choice in product(range(1, 4), repeat=3)
        if sum(n * size for n, size in zip(choice, sizes, strict=True)) <= budget
        and all(abs(n - 4 * (1 - share)) < 1 for n, share in zip(choice, shares, strict=True))
    ]
    total = sum(n * size for n, size in zip(kept, sizes, strict=True))
    most = max(sum(n * size for n, size in zip(choice, sizes, strict=True)) for choice in allowed)
    assert tuple(kept) in allowed and total >= most - max(sizes)
