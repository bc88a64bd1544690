"""Tests that go by ranks alone, whatever the distribution: Spearman's of a trend, Mann and Whitney's of two groups.

Written out here because importing them with scipy.stats takes longer than most of a page. No torch.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence

import numpy as np

from apt_core.measure.interval import chance_beyond

_EXACT_UP_TO = 8  # of the smaller group, where no two values are equal


def rises_or_falls(places: Sequence[float], values: Sequence[float], significance: float) -> bool:
    """Whether Spearman's rank correlation is no chance: two-sided, by Student's t of the correlation."""
    freedom = len(places) - 2
    if freedom < 1 or len(set(values)) < 2 or len(set(places)) < 2:
        return False
    correlation = statistics.correlation(ranks(places), ranks(values))
    if abs(correlation) >= 1:
        return True
    t = correlation * math.sqrt(freedom / ((1 - correlation) * (1 + correlation)))
    return chance_beyond(t, freedom) < significance


def median_slope(places: Sequence[float], values: Sequence[float]) -> float:
    """Theil and Sen's: over all pairs of different places."""
    x, y = np.asarray(places, float), np.asarray(values, float)
    run, rise = x - x[:, None], y - y[:, None]
    return float(np.median(rise[run > 0] / run[run > 0]))


def chance_of_being_greater(group: Sequence[float], rest: Sequence[float]) -> float:
    """p of Mann and Whitney's U, one-sided: how likely a group is at least so much above the rest by chance. Exact for
    small groups, else the normal approximation with corrections for ties and continuity."""
    n, m = len(group), len(rest)
    together = [*group, *rest]
    above = sum(ranks(together)[:n]) - n * (n + 1) / 2  # U
    ties = [count for count in Counter(together).values() if count > 1]
    if min(n, m) <= _EXACT_UP_TO and not ties:
        ways = _ways(n, m)
        return sum(ways[round(above) :]) / sum(ways)
    total = n + m
    tied = sum(count**3 - count for count in ties) / (total * (total - 1))
    spread = math.sqrt(n * m / 12 * (total + 1 - tied))
    if spread == 0:
        return 1.0
    return 1 - statistics.NormalDist().cdf((above - n * m / 2 - 0.5) / spread)


def ranks(values: Sequence[float]) -> list[float]:
    """From 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end < len(order) and values[order[end]] == values[order[begin]]:
            end += 1
        for place in order[begin:end]:
            found[place] = (begin + 1 + end) / 2
        begin = end
    return found


def _ways(n: int, m: int) -> list[int]:
    """U -> in how many orders of n and m values it comes out: the coefficients of the Gaussian binomial
    prod_i (1 - q^(m + i)) / (1 - q^i)."""
    few, many = sorted((n, m))
    ways = [1, *[0] * (n * m)]
    for i in range(1, few + 1):
        for u in range(n * m, many + i - 1, -1):
            ways[u] -= ways[u - many - i]
        for u in range(i, n * m + 1):
            ways[u] += ways[u - i]
    return ways
