"""Two runs on the very same windows: the difference of their losses, window by window, with its interval. No torch.

What both models find hard in a window cancels out, so a paired difference shows far less than two intervals that
do not overlap. d = loss of the other - loss of the first, per predicted token; exp(mean d) is the ratio of their
perplexities on these windows, and Student's t over the windows gives the 95% interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from apt_core.base.errors import BadInput
from apt_core.base.values import Frozen
from apt_core.base.words import number
from apt_core.events import Evaluated
from apt_core.events.records import RunRecord
from apt_core.jobs import Evaluation
from apt_core.measure.interval import t_quantile
from apt_core.studies.comparable import DENSE_TOLERANCE

NO_DIFFERENCE = "no difference that these windows can show"
SAME = "the same on every window"
WORSE, BETTER = "worse than the first", "better than the first"
ONE_WINDOW = "one window cannot show how much is chance"
_MOST = 700.0  # exp of more overflows


class Difference(NamedTuple):
    """Mean difference of loss per token and its 95% interval; None for the interval of one window."""

    mean: float
    low: float | None
    high: float | None


class Paired(Frozen):
    """Run `b` against run `a` on the windows of one text that both measured; a ratio above 1: b is worse."""

    a: str
    b: str
    text: str
    difference: float  # of the mean negative log-likelihood per token, b - a
    low: float | None
    high: float | None
    ratio: float  # of the perplexities on these windows, b / a
    ratio_low: float | None
    ratio_high: float | None
    verdict: str
    windows: int


class Unpaired(Frozen):
    """A text on which two runs cannot be paired, and why."""

    a: str
    b: str
    text: str
    reason: str


class Reading(NamedTuple):
    """What a run measured on one text: what was asked for, and what came out for every model of the run."""

    wanted: Evaluation
    made: Evaluated  # the pruned model; of a run that only measures, the model
    dense: Evaluated | None
    calibrated_on_it: bool

    @property
    def span(self) -> range:
        """The places of its windows in the text."""
        return range(self.wanted.skip, self.wanted.skip + len(self.made.losses))


def paired_difference(first: Sequence[float], other: Sequence[float]) -> Difference:
    """other - first, window by window. Raises BadInput where there is nothing to pair."""
    if not first or len(first) != len(other):
        raise BadInput("Losses can only be paired window by window.")
    differences = [b - a for a, b in zip(first, other, strict=True)]
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return Difference(mean, None, None)
    reach = t_quantile(len(differences) - 1) * statistics.stdev(differences) / math.sqrt(len(differences))
    return Difference(mean, mean - reach, mean + reach)


def differs_surely(first: Sequence[float], other: Sequence[float], significance: float) -> bool:
    """Student's paired t-test, two-sided, at this significance."""
    differences = [b - a for a, b in zip(first, other, strict=True)]
    if len(differences) < 2:
        return False
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return abs(statistics.fmean(differences)) > t_quantile(len(differences) - 1, 1 - significance / 2) * error


def compare_pair(a: RunRecord, b: RunRecord) -> list[Paired | Unpaired]:
    """One entry for every text that both runs measured, in the order of the first; two that say why where none is
    shared."""
    found = [_on_text(a, b, one, other) for one, other in _shared_texts(a, b)]
    if found:
        return found
    reason = _nothing_measured(a, b) or "they measured no text in common"
    return [Unpaired(a=a.id, b=b.id, text="", reason=reason)]


def shared_losses(a: RunRecord, b: RunRecord, text: str) -> tuple[list[float], list[float]] | None:
    """(losses of a, losses of b) on the windows of this text that both measured, None where they cannot be paired."""
    for one, other in _shared_texts(a, b):
        if one.made.text == text and why_unpaired(a, b, one, other) is None:
            places = _shared(one, other)
            return _cut(one.made, one, places), _cut(other.made, other, places)
    return None


def readings(record: RunRecord) -> list[Reading]:
    """What was measured of the model that the run is about, text by text."""
    job = record.job
    made, dense = record.evaluated_on(job.subjects[-1]), record.evaluated_on("dense")
    calibrated_on = job.calibrated_on.text if job.calibrated_on else None
    return [
        Reading(wanted, one, dense[place] if place < len(dense) else None, calibrated_on == wanted.text)
        for place, (wanted, one) in enumerate(zip(job.evaluation, made, strict=False))
    ]


def why_unpaired(a: RunRecord, b: RunRecord, one: Reading, other: Reading) -> str | None:
    """Why two readings of one text are not of the same windows, None where they are, as far as is stored."""
    if not one.made.losses or not other.made.losses:
        which = _which(not one.made.losses, not other.made.losses)
        return f"{which} kept no losses of single windows, as runs of earlier versions; measure again to pair them"
    if one.made.length != other.made.length:
        return f"their windows have {one.made.length} and {other.made.length} tokens"
    if one.made.protocol != other.made.protocol:
        return f"they were measured by different protocols ({one.made.protocol}, {other.made.protocol})"
    if one.wanted.text.startswith("hub:") and one.calibrated_on_it != other.calibrated_on_it:
        return "one was calibrated on this text, which leaves it another part of it to measure on"
    if not _shared(one, other):
        return "they left out and read different windows of the text"
    return _other_text(a, b, one, other)


def _shared_texts(a: RunRecord, b: RunRecord) -> Iterator[tuple[Reading, Reading]]:
    """The first reading of each text by both; a text that a job names twice is read with other windows."""
    for one in readings(a):
        alike = [other for other in readings(b) if other.wanted.text == one.wanted.text]
        best = next((other for other in alike if other.wanted == one.wanted), None) or next(iter(alike), None)
        if best is not None:
            yield one, best


def _on_text(a: RunRecord, b: RunRecord, one: Reading, other: Reading) -> Paired | Unpaired:
    text = one.wanted.text
    if reason := why_unpaired(a, b, one, other):
        return Unpaired(a=a.id, b=b.id, text=text, reason=reason)
    places = _shared(one, other)
    found = paired_difference(_cut(one.made, one, places), _cut(other.made, other, places))
    return Paired(
        a=a.id,
        b=b.id,
        text=text,
        difference=found.mean,
        low=found.low,
        high=found.high,
        ratio=bounded_exp(found.mean),
        ratio_low=None if found.low is None else bounded_exp(found.low),
        ratio_high=None if found.high is None else bounded_exp(found.high),
        verdict=verdict_of(found),
        windows=len(places),
    )


def verdict_of(found: Difference) -> str:
    """What the interval allows to say."""
    if found.low is None or found.high is None:
        return ONE_WINDOW
    if found.low == found.high == 0:
        return SAME
    if found.low <= 0 <= found.high:
        return NO_DIFFERENCE
    return WORSE if found.mean > 0 else BETTER


def paired_sentence(found: Paired | Unpaired, first: str, other: str, text: str) -> str:
    """One sentence for people; the names of the runs and of the text are handed in."""
    where = f" on {text}" if text else ""
    if isinstance(found, Unpaired):
        return f"{other} and {first} cannot be paired{where}: {found.reason}."
    if found.verdict == SAME:
        return f"{other} and {first} predict the same on every one of {found.windows} windows{where}."
    many = f"{found.windows} windows" if found.windows != 1 else "one window"
    times = f"{number(found.ratio)} times the perplexity of {first}"
    if found.ratio_low is None or found.ratio_high is None:
        return f"{other} has {times}{where}, on one window, which cannot show how much is chance."
    interval = f"{_precise(found.ratio_low)} to {_precise(found.ratio_high)}, 95% interval over {many}"
    if found.verdict == NO_DIFFERENCE:
        return f"Between {other} and {first} there is no difference that these windows can show{where} ({interval})."
    return f"{other} has {_precise(found.ratio)} times the perplexity of {first}{where} ({interval})."


def _precise(ratio: float) -> str:
    """A ratio near 1 needs more than three digits: 0.998 to 1.0012."""
    return f"{ratio:.4f}" if 0.9 < ratio < 1.1 else number(ratio)


def _shared(one: Reading, other: Reading) -> range:
    """Windows are cut from the start of the text without overlap, so the same place is the same window."""
    return range(max(one.span.start, other.span.start), min(one.span.stop, other.span.stop))


def _cut(measured: Evaluated, reading: Reading, places: range) -> list[float]:
    start = places.start - reading.span.start
    return list(measured.losses[start : start + len(places)])


def _other_text(a: RunRecord, b: RunRecord, one: Reading, other: Reading) -> str | None:
    """Whether the windows hold the same tokens: by what the dense models say of them, else by the models' shapes."""
    if (pair := _witnesses(a, b, one, other)) is not None:
        return _disagree(*pair, one, other)
    if a.model and b.model and _shape(a) != _shape(b):
        return "they are of different models, whose tokenizers may cut the text in other places"
    if (a.model is None or b.model is None) and a.job.model != b.job.model:
        return "it is not stored whether their models cut the text in the same places"
    return None


def _witnesses(
    a: RunRecord, b: RunRecord, one: Reading, other: Reading
) -> tuple[Evaluated, Evaluated] | None:
    """What the same model makes of the windows of each: the dense one, or what one run made and the other began
    with."""
    first, second = one.dense, other.dense
    if b.made_from == a.id:
        first = one.made
    elif a.made_from == b.id:
        second = other.made
    return (first, second) if first and second else None


def _disagree(first: Evaluated, second: Evaluated, one: Reading, other: Reading) -> str | None:
    """Whether one model finds the windows of both readings equally hard, where it should."""
    if first.losses and second.losses:
        places = _shared(one, other)
        levels = [_mean(_cut(first, one, places)), _mean(_cut(second, other, places))]
    elif one.span == other.span:
        levels = [first.perplexity, second.perplexity]
    else:
        return "they read different numbers of windows, and no losses of the dense model show that they agree"
    if abs(levels[1] / levels[0] - 1) < DENSE_TOLERANCE:
        return None
    return (
        f"the dense perplexities differ ({number(levels[0])} and {number(levels[1])}), so the model or the windows "
        "are not the same"
    )


def _mean(losses: Sequence[float]) -> float:
    """The perplexity of these windows."""
    return bounded_exp(statistics.fmean(losses))


def _shape(record: RunRecord) -> tuple[object, ...]:
    model = record.model
    return (model.architecture, model.parameters, model.blocks, model.layers) if model else ()


def _nothing_measured(a: RunRecord, b: RunRecord) -> str:
    empty = [not readings(run) for run in (a, b)]
    return f"{_which(*empty)} has measured nothing (yet)" if any(empty) else ""


def _which(first: bool, other: bool) -> str:
    """Said of the runs of which something is true."""
    return "each of them" if first and other else "the first" if first else "the other"


def bounded_exp(loss: float) -> float:
    """exp(loss), at most what a float holds."""
    return math.exp(min(loss, _MOST))
