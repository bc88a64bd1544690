"""The law of post-training, fitted to the curves of stored recoveries: a fold over their records. No torch.

Recoveries of one family of models, pruned in one way and trained in one way, are fitted together (`law_groups`): their
curves where they share a learning-rate schedule, else their final losses (`law_curves`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from apt_core.base.errors import BadInput
from apt_core.base.words import count, number, times
from apt_core.events.records import RunRecord
from apt_core.measure import power_law
from apt_core.measure.power_law import Fit, Point
from apt_core.studies.law_curves import FINAL, Chosen, chosen_of, used_sentence
from apt_core.studies.law_groups import Known, apart_sentence, grouped, labels_of

NAME, TITLE, SOURCE = "law", "The law of training", "P2 law, arXiv 2411.10272"
SUMMARY = (
    "Predicts how far training goes: the curves of recoveries give a power law of the loss over the tokens read, the "
    "size of the model and the share that is gone."
)
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
    """One group of recoveries: their label, those of their points that belong to one law, and what was fitted to
    them."""

    label: str
    chosen: Chosen
    fit: Fit
    check: Check | None
    within: tuple[Within, ...] = ()

    @property
    def runs(self) -> tuple[str, ...]:
        return self.chosen.runs

    @property
    def points(self) -> tuple[Point, ...]:
        return self.chosen.points


class Laws(NamedTuple):
    """The law of each group of recoveries. apart: what kept the groups apart, in words, empty where there is one.
    left_out: a sentence for each group that has no law, because it has too few points."""

    laws: list[Law]
    apart: str = ""
    left_out: tuple[str, ...] = ()


def laws_of(
    records: Iterable[RunRecord],
    within: float | None = None,
    bootstraps: int | None = None,
    seed: int = 0,
    known: Known = lambda run_id: None,
) -> Laws:
    """The law of each group. known: the runs that these were made from.

    Raises BadInput where there is no recovery, or no group has enough points.
    """
    records = list(records)
    groups = grouped(records, known)
    if not groups:
        named = f"Run {records[0].id} is no" if len(records) == 1 else "None of these runs is, or led to, a"
        raise BadInput(f"{named} recovery with a curve; recover a pruned model first ('recover --help').")
    check_ratio(within)
    times_drawn = _BOOTSTRAPS if bootstraps is None else bootstraps
    laws: list[Law] = []
    refused: dict[str, BadInput] = {}
    for group, label in labels_of(list(groups)).items():
        try:
            laws.append(_law(label, chosen_of(groups[group], known), times_drawn, seed))
        except BadInput as error:
            refused[label] = error
    found = _whole(laws, refused, Laws([], apart_sentence(list(groups))))
    return found if within is None else answered(found, within)


def answered(found: Laws, within: float) -> Laws:
    """The same laws with how many tokens it takes to come within a ratio; nothing is fitted for it.

    Raises BadInput for what is no ratio, or where none of the laws knows the loss of its dense model.
    """
    check_ratio(within)
    laws: list[Law] = []
    refused: dict[str, BadInput] = {}
    for law in found.laws:
        try:
            answers = tuple(_answer(law.fit, curve, within) for curve in law.chosen.curves if curve)
            laws.append(law._replace(within=answers))
        except BadInput as error:
            refused[law.label] = error
    return _whole(laws, refused, found)


def _whole(laws: list[Law], refused: Mapping[str, BadInput], before: Laws) -> Laws:
    """These laws, with a sentence for each that was refused; raises the first of these where no law is left."""
    if not laws:
        raise next(iter(refused.values()))
    said = (f"{label}: {error}" for label, error in refused.items())
    return before._replace(laws=laws, left_out=(*before.left_out, *said))


def check_ratio(within: float | None) -> None:
    """Raise BadInput for what is no ratio of perplexities."""
    if within is not None and not (math.isfinite(within) and within >= 1):
        raise BadInput(
            f"--within {within:g} is no ratio of perplexities; give a number from 1, such as 1.05."
        )


def _law(label: str, chosen: Chosen, bootstraps: int, seed: int) -> Law:
    found = power_law.fit(chosen.points, bootstraps=bootstraps, seed=seed)
    return Law(label, chosen, found, check_of(chosen.curves, seed))


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
    off = [abs(found.at(point, point.tokens) - point.loss) for point in later]
    level = [
        abs(curve[cut - 1].loss - point.loss)
        for curve, cut in zip(curves, cuts, strict=True)
        for point in curve[cut:]
    ]
    return Check(found, early, later, sum(off) / len(off), sum(level) / len(level))


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
        "curve": "one model size at one sparsity: more constants cannot be identified",
        "sparsity": "one model size: how the law depends on it cannot be identified",
        "size": "one sparsity: how the law depends on it cannot be identified",
        "size and sparsity": "two model sizes: N_C and alpha cannot be separated from E",
        "P2": "the whole P2 law",
    }[found.form.name]
    rho = (
        ", rho the share of the dense model's parameters that is gone" if "rho" in found.form.formula else ""
    )
    return f"{found.form.formula} ({why}; D in millions of tokens, N in billions of parameters{rho})."


def schedule_sentence(law: Law) -> str:
    """What the schedule does to a law of curves; nothing of final losses."""
    if law.chosen.used == FINAL:
        return ""
    return (
        "The learning rate of these runs falls along a cosine, which flattens the end of each curve; a law takes that "
        "for its floor."
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
        return "Too few points to hold the law of the first ones against the later ones."
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
    if far <= 1:
        return (
            f"By this law the loss is {target} behind about {count(answer.tokens)} tokens{between}, but none of the "
            f"points up to {count(answer.trained)} tokens is: that far the law is off."
        )
    guess = "; that far a law is a guess" if far > _FAR else ""
    return (
        f"The loss is {target} behind about {count(answer.tokens)} tokens{between}, {times(far)} what was trained "
        f"on{guess}."
    )


def laws_json(found: Laws, within: float | None) -> dict[str, Any]:
    """What `law --json` prints, Python gives and the page answers to programs."""
    return {
        "within": within,
        "laws": [law_json(law) for law in found.laws],
        "apart": found.apart or None,
        "left_out": list(found.left_out),
    }


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
        "used": law.chosen.used,
        "used_sentence": used_sentence(law.chosen),
        "left_out": list(law.chosen.left_out),
        "note": schedule_sentence(law) or None,
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
