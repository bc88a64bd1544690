"""What recorded runs say of a claim: a ratio of perplexities, its interval over windows and seeds, a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from scipy.stats import t

from benchmarks.judge import Interval, ratio
from benchmarks.related.claims import Claim
from benchmarks.related.records import Losses, of_recipe

HOLDS, FAILS, UNCLEAR, ALONE = "holds", "does not hold", "too small to tell", "too little to tell"


def judged(claim: Claim, lines: Sequence[dict[str, Any]], model: str) -> dict[str, Any]:
    """The claim on all windows together and on each text. Without `value` where nothing was measured."""
    ours, theirs = (of_recipe(recipe, lines, model) for recipe in (claim.ours, claim.theirs))
    seeds = sorted(ours.keys() & theirs.keys())
    found = {"name": claim.name, "claim": claim.words, "source": claim.source, "seeds": seeds}
    if not seeds:
        return found | {"texts": {}}
    apart = {text: [_apart(ours[seed], theirs[seed], text) for seed in seeds] for text in ours[seeds[0]]}
    together = [
        [one for windows in of_texts for one in windows] for of_texts in zip(*apart.values(), strict=True)
    ]
    return found | _said(together) | {"texts": {text: _said(windows) for text, windows in apart.items()}}


def _apart(ours: Losses, theirs: Losses, text: str) -> list[float]:
    """How far apart the losses of each window are."""
    return [mine - other for mine, other in zip(ours[text], theirs[text], strict=True)]


def _said(apart: Sequence[Sequence[float]]) -> dict[str, Any]:
    found = paired(apart)
    each = [math.exp(fmean(windows)) for windows in apart]
    return found._asdict() | {"verdict": verdict(found), "of_seeds": [round(one, 4) for one in each]}


def paired(apart: Sequence[Sequence[float]]) -> Interval:
    """exp of the mean difference. apart: [seeds, windows].

    Windows and seeds are both drawn, and every seed sees the same windows. With mean squares of windows, of seeds and
    of what is left, the variance of the mean over S seeds and W windows is

        (MS_windows + MS_seeds - MS_rest) / (S W)

    and its t interval has Satterthwaite's degrees of freedom. One seed: the paired t interval over windows. One window:
    none.
    """
    if len(apart) == 1 or len(apart[0]) == 1:
        return ratio([fmean(seeds) for seeds in zip(*apart, strict=True)], [0.0] * len(apart[0]))
    squares = _mean_squares(apart)
    whole = squares["windows"][0] + squares["seeds"][0] - squares["rest"][0]
    least = max(square for square, _ in squares.values()) * 1e-12
    spread = max(whole, squares["rest"][0], least)
    freedom = spread**2 / max(sum(square**2 / degrees for square, degrees in squares.values()), 1e-300)
    mean = fmean(one for windows in apart for one in windows)
    reach = float(t.ppf(0.975, max(freedom, 1.0))) * math.sqrt(spread / (len(apart) * len(apart[0])))
    return Interval(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach))


def _mean_squares(apart: Sequence[Sequence[float]]) -> Mapping[str, tuple[float, int]]:
    """Of a table without repetition: source -> (mean square, degrees of freedom)."""
    seeds, windows = len(apart), len(apart[0])
    mean = fmean(one for row in apart for one in row)
    of_seeds = [fmean(row) for row in apart]
    of_windows = [fmean(column) for column in zip(*apart, strict=True)]
    rest = sum(
        (one - of_seeds[seed] - of_windows[window] + mean) ** 2
        for seed, row in enumerate(apart)
        for window, one in enumerate(row)
    )
    return {
        "seeds": (windows * sum((one - mean) ** 2 for one in of_seeds) / (seeds - 1), seeds - 1),
        "windows": (seeds * sum((one - mean) ** 2 for one in of_windows) / (windows - 1), windows - 1),
        "rest": (rest / ((seeds - 1) * (windows - 1)), (seeds - 1) * (windows - 1)),
    }


def verdict(found: Interval) -> str:
    """`does not hold` is the opposite of the claim, with the whole interval on that side."""
    if math.isnan(found.low):  # one window has no interval
        return ALONE
    if found.high < 1:
        return HOLDS
    return FAILS if found.low > 1 else UNCLEAR
