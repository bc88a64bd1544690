"""The P2 law (arXiv 2411.10272) on recorded recovery curves: fitted to early points, held against the later ones.

The paper says that the law, fitted to the beginning of a curve, tells how it goes on. For every curve its first two
thirds behind the warm-up are fitted (one model size at one sparsity: L = a + b D^-beta), and the loss of each later
point is foretold. The claim holds where the law's error is smaller than that of supposing that the loss stays as it was
at the last early point, with the whole interval; curves, not points, are what the bootstrap draws.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

from apt_core.measure.power_law import Point
from apt_core.studies.scaling_law import check_of
from benchmarks.judge import Interval
from benchmarks.related.ratios import verdict

NAME = "law"
WORDS = "The law of the first two thirds of a recovery curve foretells the rest"
SOURCE = "arXiv 2411.10272"
_DRAWS = 4000
_LEAST = 1e-9  # relative error: below it is rounding


class Curve(NamedTuple):
    """Of one recovery: the relative error of each later point by the law, and by the loss staying as it was."""

    run: str
    law: tuple[float, ...]
    level: tuple[float, ...]


def curves_of(lines: Sequence[dict[str, Any]], model: str) -> list[Curve]:
    """Of every recorded recovery that is long enough for a fit."""
    found = (_curve(line) for line in lines if line["model"] == model and "curve" in line)
    return [curve for curve in found if curve is not None]


def points_of(line: dict[str, Any]) -> list[Point]:
    """The curve behind the warm-up."""
    began = line["curve"]["trained"]
    run = f"{line['recipe']}, seed {line['seed']}"
    return [
        Point(
            run,
            one["tokens"],
            one["held_out"],
            began["model_parameters"],
            began["sparsity"],
            began["dense_loss"],
        )
        for one in line["curve"]["steps"]
        if one["step"] > began["warm_up"]
    ]


def _curve(line: dict[str, Any]) -> Curve | None:
    found = check_of([points_of(line)])
    if found is None:
        return None
    last = found.early[-1].loss
    return Curve(
        found.later[0].run,
        tuple(abs(found.fit.at(point, point.tokens) - point.loss) / point.loss for point in found.later),
        tuple(abs(last - point.loss) / point.loss for point in found.later),
    )


def judged(lines: Sequence[dict[str, Any]], model: str) -> dict[str, Any]:
    """error: median of the relative errors; value: the law's mean error over that of the loss as it was."""
    curves = curves_of(lines, model)
    found: dict[str, Any] = {
        "name": NAME,
        "claim": WORDS,
        "source": SOURCE,
        "curves": [one.run for one in curves],
    }
    if not curves:
        return found
    over = _drawn(curves, _ratio)
    return (
        found
        | over._asdict()
        | {
            "verdict": verdict(over),
            "points": sum(len(one.law) for one in curves),
            "error": _drawn(curves, lambda some: _median(one.law for one in some))._asdict(),
            "level": _drawn(curves, lambda some: _median(one.level for one in some))._asdict(),
        }
    )


def _ratio(curves: Sequence[Curve]) -> float:
    """Of mean errors, geometrically averaged over curves, so that a steep curve counts as much as a flat one."""
    return math.exp(
        fmean(math.log(max(fmean(one.law), _LEAST) / max(fmean(one.level), _LEAST)) for one in curves)
    )


def _median(errors: Any) -> float:
    return median(error for of_curve in errors for error in of_curve)


def _drawn(curves: Sequence[Curve], figure: Callable[[Sequence[Curve]], float]) -> Interval:
    """A figure of all curves, and between which two it is in 95% of draws of as many curves with replacement."""
    value = figure(curves)
    if len(curves) < 2:
        return Interval(value, math.nan, math.nan)
    draw = random.Random(0)
    found = sorted(figure(draw.choices(curves, k=len(curves))) for _ in range(_DRAWS))
    return Interval(value, found[round(0.025 * (_DRAWS - 1))], found[round(0.975 * (_DRAWS - 1))])
