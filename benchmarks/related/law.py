"""The P2 law (arXiv 2411.10272) on recorded recovery curves: fitted to early points, held against the later ones.

The paper says that the law, fitted to the beginning of a curve, tells how it goes on. For every curve its first two
thirds behind the warm-up are fitted (one model size at one sparsity: L = a + b D^-beta), and the loss of each later
point is foretold. The claim holds where the law's error is smaller than that of supposing that the loss stays as it was
at the last early point, with the whole interval over curves: points of one curve are no independent ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

from apt_core.measure.power_law import Point
from apt_core.studies.scaling_law import check_of
from benchmarks.judge import Interval, ratio
from benchmarks.related.ratios import verdict

NAME = "law"
WORDS = "The law of the first two thirds of a recovery curve predicts the rest"
SOURCE = "arXiv 2411.10272"
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
    """error, level: median relative error of a curve's later points by the law, and by the loss staying as it was.
    value: the law's mean error over the other one's. All three as geometric means over curves with t intervals."""
    curves = curves_of(lines, model)
    found: dict[str, Any] = {
        "name": NAME,
        "claim": WORDS,
        "source": SOURCE,
        "curves": [one.run for one in curves],
    }
    if not curves:
        return found
    over = _over_curves(fmean(one.law) / max(fmean(one.level), _LEAST) for one in curves)
    return (
        found
        | over._asdict()
        | {
            "verdict": verdict(over),
            "points": sum(len(one.law) for one in curves),
            "error": _over_curves(median(one.law) for one in curves)._asdict(),
            "level": _over_curves(median(one.level) for one in curves)._asdict(),
        }
    )


def _over_curves(figures: Iterable[float]) -> Interval:
    logarithms = [math.log(max(figure, _LEAST)) for figure in figures]
    return ratio(logarithms, [0.0] * len(logarithms))
