"""Rank tests against those of scipy."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from apt_core.measure.rank_tests import chance_of_being_greater, median_slope, ranks, rises_or_falls


def drawn(count: int, seed: int, tied: bool, shift: float = 0.0) -> list[float]:
    draw = random.Random(seed)
    values = [draw.gauss(shift, 1) for _ in range(count)]
    return [round(value, 1) for value in values] if tied else values


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 9), (3, 40), (8, 8), (8, 200), (9, 9), (30, 180)])
def test_two_groups(n, m, tied):
    for seed in range(20):
        group, rest = drawn(n, seed, tied, shift=0.4), drawn(m, 1000 + seed, tied)
        expected = stats.mannwhitneyu(group, rest, alternative="greater").pvalue
        assert chance_of_being_greater(group, rest) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_groups_of_equal_values_differ_by_chance():
    assert chance_of_being_greater([1.0] * 9, [1.0] * 9) == 1.0


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("count", [3, 4, 5, 10, 30, 200])
def test_a_trend(count, tied):
    verdicts = set()
    for seed in range(40):
        noise = drawn(count, seed, tied)
        values = [place * seed * 0.03 * 10 / count + value for place, value in enumerate(noise)]
        expected = stats.spearmanr(range(count), values).pvalue < 0.01
        assert rises_or_falls(range(count), values, 0.01) == expected
        verdicts.add(expected)
        assert median_slope(range(count), values) == pytest.approx(
            stats.theilslopes(values, range(count)).slope, rel=1e-9, abs=1e-12
        )
    assert count < 10 or verdicts == {True, False}


def test_what_is_no_trend():
    assert not rises_or_falls([0, 1], [1.0, 2.0], 0.01)
    assert not rises_or_falls([0, 1, 2], [1.0, 1.0, 1.0], 0.01)
    assert rises_or_falls([0, 1, 2, 3], [4.0, 3.0, 2.0, 1.0], 0.01)


def test_equal_values_share_their_ranks():
    values = [3.0, 1.0, 3.0, 2.0, 3.0]
    assert ranks(values) == list(stats.rankdata(values))
