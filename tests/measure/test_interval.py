"""The interval of a perplexity against tables of Student's distribution, and against how often it holds."""

import math
import random
import statistics

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from apt_core.measure.interval import perplexity_interval, share_interval, t_quantile

# Two-sided 95%: any table of Student's t distribution.
TABLE = {1: 12.706205, 2: 4.302653, 5: 2.570582, 11: 2.200985, 30: 2.042272, 120: 1.979930, 4000: 1.960557}


@pytest.mark.parametrize(("freedom", "t"), TABLE.items())
def test_quantiles_are_those_of_the_table(freedom, t):
    assert t_quantile(freedom) == pytest.approx(t, abs=1e-6)


def test_one_window_has_no_interval():
    assert perplexity_interval([3.0]) == (None, None)
    assert perplexity_interval([]) == (None, None)


def test_the_interval_by_hand():
    low, high = perplexity_interval([2.0, 2.2, 2.4])
    reach = 4.302653 * 0.2 / math.sqrt(3)
    assert (low, high) == pytest.approx((math.exp(2.2 - reach), math.exp(2.2 + reach)), rel=1e-6)


def test_equal_windows_have_an_interval_of_no_width():
    low, high = perplexity_interval([2.5] * 4)
    assert low == high == pytest.approx(math.exp(2.5))


def test_the_true_mean_lies_inside_19_times_of_20():
    draw = random.Random(0)
    held = 0
    for _ in range(2000):
        low, high = perplexity_interval([draw.gauss(3.0, 0.2) for _ in range(6)])
        held += low <= math.exp(3.0) <= high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


def test_losses_beyond_any_float_stay_numbers():
    assert all(map(math.isfinite, perplexity_interval([800.0, 900.0])))
    assert statistics.fmean([800.0, 900.0]) > 700


@given(st.integers(0, 400), st.integers(1, 400))
def test_the_interval_of_a_share_is_wilsons(count, of):
    count = min(count, of)
    expected = scipy.stats.binomtest(count, of).proportion_ci(method="wilson")
    low, high = share_interval(count, of)
    assert low == pytest.approx(expected.low, abs=1e-9) and high == pytest.approx(expected.high, abs=1e-9)
    assert 0 <= low <= count / of + 1e-12 and count / of - 1e-12 <= high <= 1


def test_no_trials_have_no_share():
    assert share_interval(0, 0) == (None, None)
