"""95% intervals: of a perplexity from the losses of its windows, and of a share. No torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

_Z = statistics.NormalDist().inv_cdf(0.975)
_STEPS = 2000  # of Simpson's rule: quantiles are exact to nine digits


def perplexity_interval(losses: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """(low, high): Student's t interval of the mean loss, exponentiated.

    losses: mean negative log-likelihood of each window, all of the same length. One window says nothing of the
    spread, so it has no interval.
    """
    low, high = mean_interval(losses)
    return (None, None) if low is None or high is None else (_exp(low), _exp(high))


def mean_interval(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """(low, high): Student's t interval of the mean of one value a window."""
    if len(values) < 2:
        return None, None
    reach = t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return mean - reach, mean + reach


def share_interval(count: int, of: int) -> tuple[float, float] | tuple[None, None]:
    """(low, high): Wilson's score interval of a share, which stays within 0 and 1 however few there are.

    (p + z^2 / 2n  -+  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),  p = count / n
    """
    if of == 0:
        return None, None
    share, z2 = count / of, _Z * _Z
    centre = share + z2 / (2 * of)
    reach = _Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    low, high = (centre - reach) / (1 + z2 / of), (centre + reach) / (1 + z2 / of)
    return max(0.0, low), min(1.0, high)


@lru_cache(maxsize=64)
def t_quantile(freedom: int, probability: float = 0.975) -> float:
    """The t below which Student's distribution has this probability (above one half), by bisection."""
    low, high = 0.0, 1.0
    while _half_mass(high, freedom) < probability - 0.5:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _half_mass(middle, freedom) < probability - 0.5 else (low, middle)
    return high


def chance_beyond(t: float, freedom: int) -> float:
    """The probability of Student's distribution farther from 0 than t, on both sides."""
    return max(0.0, 1 - 2 * _half_mass(abs(t), freedom))


def _half_mass(t: float, freedom: int) -> float:
    """The probability between 0 and t. With t = sqrt(n) tan(a) the density becomes cos(a)^(n - 1)."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    step = math.atan(t / math.sqrt(freedom)) / _STEPS
    inner = sum(
        (4 if place % 2 else 2) * math.cos(place * step) ** (freedom - 1) for place in range(1, _STEPS)
    )
    return scale * step / 3 * (1 + inner + math.cos(_STEPS * step) ** (freedom - 1))


def _exp(loss: float) -> float:
    return math.exp(min(loss, 700.0))
