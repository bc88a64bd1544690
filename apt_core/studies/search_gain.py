"""Did a search gain anything over the uniform widths that it began with? From the windows that both were measured on.

Both are compensated in the same way and read the same windows of the evaluation text, which no candidate was chosen
by, so their losses are paired window by window. No torch.
"""

from __future__ import annotations

from apt_core.base.values import Frozen
from apt_core.base.words import number
from apt_core.events.records import RunRecord
from apt_core.studies.ratios import Ratio, ratio_of

BETTER, WORSE, UNCLEAR = "better", "worse", "no difference that these windows can show"
SAME = "the start was the best"


class Gain(Frozen):
    """start, found: perplexities on the first text. ratio: of the perplexities, found / start; below 1 is better."""

    start: float
    found: float
    ratio: float
    ratio_low: float | None  # 95%, by the windows' losses; None where there are too few
    ratio_high: float | None
    verdict: str


def gain_of(record: RunRecord) -> Gain | None:
    """None before both are measured."""
    start, found = record.start, record.made
    if start is None or found is None:
        return None
    against = ratio_of(start, found)
    return Gain(
        start=start.perplexity,
        found=found.perplexity,
        ratio=against.ratio,
        ratio_low=against.low,
        ratio_high=against.high,
        verdict=_verdict(record, against),
    )


def gain_sentence(record: RunRecord) -> str:
    """'The search gained: perplexity 41.2 where uniform widths have 43.0, 0.958 times (95% from 0.94 to 0.976).'"""
    gain = gain_of(record)
    if gain is None:
        return ""
    if gain.verdict == SAME:
        return f"The search gained nothing: it found nothing better than the uniform widths ({number(gain.start)})."
    between = (
        f" (95% from {gain.ratio_low:.3f} to {gain.ratio_high:.3f})"
        if gain.ratio_low is not None and gain.ratio_high is not None
        else ""
    )
    lead = {
        BETTER: "The search gained",
        WORSE: "The search lost on this text",
        UNCLEAR: "The search gained nothing that these windows can show",
    }[gain.verdict]
    return (
        f"{lead}: perplexity {number(gain.found)} where the uniform widths, compensated the same way, have "
        f"{number(gain.start)}, {gain.ratio:.3f} times{between}."
    )


def _verdict(record: RunRecord, against: Ratio) -> str:
    last = record.generations[-1] if record.generations else None
    if last is not None and last.best == last.start and against.ratio == 1:
        return SAME
    if against.low is None or against.high is None or against.low <= 1 <= against.high:
        return UNCLEAR
    return BETTER if against.high < 1 else WORSE
