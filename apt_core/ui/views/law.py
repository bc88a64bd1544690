"""Laws of recoveries as the page shows them: constants with their intervals, and how many tokens until a loss."""

from __future__ import annotations

from apt_core.base.words import number
from apt_core.studies.law_curves import used_sentence
from apt_core.studies.scaling_law import (
    Law,
    Laws,
    check_sentence,
    determined_sentence,
    form_sentence,
    schedule_sentence,
    within_sentence,
)
from apt_core.ui.views.html import Markup, join, table

_HEADS = ("constant", "value", "95% interval")


def laws_card(found: Laws) -> Markup:
    """Every law, what kept them apart, and what has none."""
    apart = Markup('<p class="law-apart">{}</p>').format(found.apart) if found.apart else Markup("")
    left_out = join(Markup('<p class="quiet">{}</p>').format(one) for one in found.left_out)
    notes = dict.fromkeys(filter(None, map(schedule_sentence, found.laws)))
    schedule = join(Markup('<p class="quiet honest">{}</p>').format(one) for one in notes)
    return Markup('<section class="laws" aria-label="Law of the recoveries">{}{}{}{}</section>').format(
        apart, join(map(_law, found.laws)), left_out, schedule
    )


def _law(law: Law) -> Markup:
    fit = law.fit
    rows = [
        (name, number(value), f"{number(fit.low[name])} to {number(fit.high[name])}")
        for name, value in fit.constants.items()
    ]
    said = (form_sentence(fit), determined_sentence(fit), check_sentence(law.check))
    sentences = filter(None, (used_sentence(law.chosen), *law.chosen.left_out, *said))
    return Markup('<article class="law"><h4>{}</h4>{}{}{}</article>').format(
        law.label,
        _answers(law),
        table(_HEADS, rows, f"Constants: {law.label}", "tnn"),
        join(Markup('<p class="quiet">{}</p>').format(one) for one in sentences),
    )


def _answers(law: Law) -> Markup:
    """After how many tokens each model is there; its run is named where there are several."""
    several = len(law.within) > 1
    said = (f"{one.run}: {within_sentence(one)}" if several else within_sentence(one) for one in law.within)
    return join(Markup("<p>{}</p>").format(one) for one in said)
