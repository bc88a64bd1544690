"""The law of post-training, fitted to the curves of stored recoveries: a fold over their records. No torch.

Recoveries of one method on one text are fitted together; each group has a law of its own, because its constants are
those of a way to prune and a way to train. The points of the warm-up are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from apt_core.base.errors import BadInput
from apt_core.base.words import count, number, times
from apt_core.events.records import RunRecord
from apt_core.measure import power_law
from apt_core.measure.power_law import Fit, Point
from apt_core.texts.titles import text_title

EARLY = 2 / 3  # of a curve's points: the law of these is held against the rest
_BOOTSTRAPS = 60
_FAR = 10.0  # times as many tokens as were trained on: an answer beyond is a guess


class Check(NamedTuple):
    """The law of the first points of each curve, held against those that came later. error: mean distance in nats;
    level: that of supposing that the loss stays as it was."""

    fit: Fit
    early: tuple[Point, ...]
    later: tuple[Point, ...]
    error: float
    level: float


class Within(NamedTuple):
    """How many tokens until one model's perplexity is at most `ratio` times the dense one's. tokens: None where it
    never is, by this law; low and high: 95% of the bootstrap's laws, None for never; `reached`: the share of these that
    come there at all."""

    run: str
    ratio: float
    loss: float
    tokens: float | None
    low: float | None
    high: float | None
    reached: float
    trained: float
    measured: float | None = None  # tokens of the first point that is there already


class Law(NamedTuple):
    """One group of recoveries: their label, their points behind the warm-up, and what was fitted to all of them."""

    label: str
    runs: tuple[str, ...]
    points: tuple[Point, ...]
    fit: Fit
    check: Check | None
    within: tuple[Within, ...] = ()


def laws_of(
    records: Iterable[RunRecord], within: float | None = None, bootstraps: int | None = None, seed: int = 0
) -> list[Law]:
    """The law of each group. Raises BadInput where there is no recovery, or one has too few points."""
    records = list(records)
    groups = grouped(records)
    if not groups:
        named = f"Run {records[0].id} is" if len(records) == 1 else "These runs are"
        raise BadInput(f"{named} no recovery with a curve; recover a pruned model first ('recover --help').")
    if within is not None and not (math.isfinite(within) and within >= 1):
        raise BadInput(
            f"--within {within:g} is no ratio of perplexities; give a number from 1, such as 1.05."
        )
    times_drawn = _BOOTSTRAPS if bootstraps is None else bootstraps
    return [_law(label, members, within, times_drawn, seed) for label, members in groups.items()]


def grouped(records: Iterable[RunRecord]) -> dict[str, list[RunRecord]]:
    """Label -> the recoveries with a curve that share a method and a text."""
    found: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.training is not None and record.steps:
            read = ", ".join(text_title(text.text) for text in record.job.reads)
            found.setdefault(f"{record.job.labels[0]} on {read}", []).append(record)
    return found


def points_of(record: RunRecord) -> list[Point]:
    """The curve behind the warm-up."""
    began = record.training
    if began is None:
        return []
    return [
        Point(
            run=record.id,
            tokens=one.tokens,
            loss=one.held_out,
            parameters=began.model_parameters,
            sparsity=began.sparsity,
            dense_loss=began.dense_loss,
        )
        for one in record.steps
        if one.step > began.warm_up
    ]


def _law(label: str, records: Sequence[RunRecord], within: float | None, bootstraps: int, seed: int) -> Law:
    curves = [points_of(record) for record in records]
    points = tuple(point for curve in curves for point in curve)
    found = power_law.fit(points, bootstraps=bootstraps, seed=seed)
    answers = tuple(_answer(found, curve, within) for curve in curves if curve) if within else ()
    runs = tuple(record.id for record in records)
    return Law(label, runs, points, found, check_of(curves, seed), answers)


def check_of(curves: Sequence[Sequence[Point]], seed: int = 0) -> Check | None:
    """None where the first points are too few for a law."""
    cuts = [max(1, math.ceil(EARLY * len(curve))) for curve in curves]
    early = tuple(point for curve, cut in zip(curves, cuts, strict=True) for point in curve[:cut])
    later = tuple(point for curve, cut in zip(curves, cuts, strict=True) for point in curve[cut:])
    if not later:
        return None
    try:
        found = power_law.fit(early, seed=seed)
    except BadInput:
        return None
    last = {point.run: point.loss for point in early}
    off = [abs(found.at(point, point.tokens) - point.loss) for point in later]
    level = [abs(last[point.run] - point.loss) for point in later if point.run in last]
    return Check(found, early, later, sum(off) / len(off), sum(level) / max(1, len(level)))


def _answer(found: Fit, curve: Sequence[Point], ratio: float) -> Within:
    last = curve[-1]
    if last.dense_loss is None:
        raise BadInput(
            f"Run {last.run} does not know the loss of its dense model, so --within has nothing to compare with."
        )
    loss = last.dense_loss + math.log(ratio)
    others = [found.tokens_for(last, loss, one) for one in found.samples]
    ordered = sorted(math.inf if one is None else one for one in others)
    return Within(
        run=last.run,
        ratio=ratio,
        loss=loss,
        tokens=found.tokens_for(last, loss),
        low=_at(ordered, 0.025),
        high=_at(ordered, 0.975),
        reached=sum(map(math.isfinite, ordered)) / max(1, len(ordered)),
        trained=last.tokens,
        measured=next((point.tokens for point in curve if point.loss <= loss), None),
    )


def _at(ordered: Sequence[float], share: float) -> float | None:
    found = ordered[round(share * (len(ordered) - 1))] if ordered else math.inf
    return found if math.isfinite(found) else None


# ---- in words and as JSON


def form_sentence(found: Fit) -> str:
    """Which form was fitted and why no larger one."""
    why = {
        "curve": "one model size at one sparsity: more constants cannot be told apart",
        "sparsity": "one model size: how the law depends on it cannot be told",
        "size": "one sparsity: how the law depends on it cannot be told",
        "size and sparsity": "two model sizes: N_C and alpha cannot be told apart from E",
        "P2": "the whole P2 law",
    }[found.form.name]
    return f"{found.form.formula} ({why}; D in millions of tokens, N in billions of parameters)."


SCHEDULE = (
    "The learning rate of these runs falls along a cosine, which flattens the end of each curve; a law takes that for "
    "its floor."
)


def determined_sentence(found: Fit) -> str:
    """What the points do not pin down, in words; nothing where all is."""
    if not found.undetermined:
        return ""
    named = ", ".join(found.undetermined)
    return (
        f"The points do not determine {named}: curves with other constants fit them as well, so what lies far beyond "
        "the last point is not known. Train for longer, or at more sparsities."
    )


def check_sentence(check: Check | None) -> str:
    """How far off the law of the first points was."""
    if check is None:
        return "The curve is too short to hold the law of its first points against the later ones."
    return (
        f"The law of the first two thirds of the points is off by {number(check.error)} nats on the last third, where "
        f"a loss that stays as it was is off by {number(check.level)}."
    )


def within_sentence(answer: Within) -> str:
    """How many tokens, with the interval, and how far beyond what was trained that is."""
    target = f"within {times(answer.ratio)} of the dense perplexity (loss {answer.loss:.4f})"
    if answer.measured is not None:
        return f"The loss was {target} at {count(answer.measured)} tokens, as measured."
    if answer.tokens is None:
        return f"By this law the loss never comes {target}."
    most = count(answer.high) if answer.high is not None else "never"
    between = f" (95% from {count(answer.low)} to {most})" if answer.low is not None else ""
    far = answer.tokens / answer.trained
    guess = "; that far a law is a guess" if far > _FAR else ""
    return (
        f"The loss is {target} behind about {count(answer.tokens)} tokens{between}, {times(far)} what was trained "
        f"on{guess}."
    )


def law_json(law: Law) -> dict[str, Any]:
    """A law as `law --json` prints it."""
    found = law.fit
    return {
        "label": law.label,
        "runs": list(law.runs),
        "form": found.form.name,
        "formula": found.form.formula,
        "sentence": form_sentence(found),
        "constants": {
            name: {"value": value, "low": _finite(found.low[name]), "high": _finite(found.high[name])}
            for name, value in found.constants.items()
        },
        "note": SCHEDULE,
        "undetermined": list(found.undetermined),
        "determined_sentence": determined_sentence(found) or None,
        "error": found.error,
        "points": len(law.points),
        "check": _check_json(law.check),
        "within": [one._asdict() | {"sentence": within_sentence(one)} for one in law.within],
    }


def _check_json(check: Check | None) -> dict[str, Any] | None:
    if check is None:
        return None
    return {
        "early": len(check.early),
        "later": len(check.later),
        "error": check.error,
        "level": check.level,
        "sentence": check_sentence(check),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
