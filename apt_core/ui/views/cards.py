"""The small cards of the rail: what the model is, and whether the run can work."""

from __future__ import annotations

from apt_core.base.words import DASH, count, duration, sentence, size
from apt_core.estimate.preflight import Estimate
from apt_core.models.catalogue.entries import Terms
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.models.fetch.hub import endpoint
from apt_core.ui.views.html import Markup, join, linked


def facts_line(model: ModelFacts) -> Markup:
    """Parameters, size, licence, and whether it must still be fetched."""
    parts = [
        _how_many(model),
        size(model.bytes_on_disk) if model.bytes_on_disk else "",
        model.license or "licence not stated",
    ]
    where = _where(model)
    shown = Markup('<p class="model-facts">{}</p><p class="model-where" data-here="{}">{}</p>').format(
        " · ".join(part for part in parts if part), "yes" if model.cached else "no", where
    )
    return shown + terms_line(model.terms)


def terms_line(terms: Terms | None) -> Markup:
    """Where the conditions of use are to be read; nothing for a model without any."""
    if terms is None:
        return Markup("")
    return Markup(
        '<p class="model-terms">May be used under the <a href="{}" target="_blank" rel="noreferrer">{}</a>.</p>'
    ).format(terms.url, terms.title)


def _how_many(model: ModelFacts) -> str:
    """'494 million parameters in bfloat16'."""
    if not model.parameters:
        return "size not known yet"
    said = f"{count(model.parameters)} parameters" + (f" in {model.dtype}" if model.dtype else "")
    return said + (f", dequantised from {model.dequantised_from}" if model.dequantised_from else "")


def bundled_text_line() -> Markup:
    """Said where the short sample of the app is read instead of the longer text."""
    return Markup(
        '<p class="model-where">The text is the short sample that comes with the app; '
        "another can be chosen below.</p>"
    )


def preflight_card(estimate: Estimate, runs: int = 1) -> Markup:
    """What the run (or these runs together) will take and why; or, in words, why it cannot work."""
    if estimate.refusal:
        return sentence_card(estimate.refusal)
    figures = [
        f"≈ {rounded(estimate.seconds)}" if estimate.seconds else f"time {DASH}",
        f"≈ {size(estimate.memory_bytes)} memory" if estimate.memory_bytes else "",
        f"{size(estimate.download_bytes)} download" if estimate.download_bytes else "no download",
    ]
    stays = (f"≈ {size(estimate.disk_bytes)} of disk are used.",) if estimate.disk_bytes else ()
    reasons = join(Markup("<li>{}</li>").format(reason) for reason in (*stays, *estimate.sentences))
    return Markup(
        '<section class="preflight" aria-label="What this run will take">{}{}'
        '<details class="folded"><summary>{}</summary><ul>{}</ul></details></section>'
    ).format(
        _where_line(estimate.where), _race_line(estimate, runs), " · ".join(filter(None, figures)), reasons
    )


def _where_line(where: str) -> Markup:
    return Markup('<p class="line-up">Done {}.</p>').format(where) if where else Markup("")


def _race_line(estimate: Estimate, runs: int) -> Markup:
    """'4 runs, one after another: about 6 min.' or 'up to 2 at once'; nothing for a single run."""
    if runs < 2:
        return Markup("")
    how_long = f": about {rounded(estimate.seconds)}" if estimate.seconds else ""
    how = "one after another" if estimate.at_once == 1 else f"up to {estimate.at_once} at once"
    return Markup('<p class="line-up">{} runs, {}{}.</p>').format(runs, how, how_long)


def at_most_line(estimate: Estimate, runs: int) -> Markup:
    """'At most 8 runs, one after another, about 6 min.'; or, in words, why it cannot work."""
    if estimate.refusal:
        return sentence_card(estimate.refusal)
    about = f", about {rounded(estimate.seconds)}" if estimate.seconds else ""
    return Markup('<p class="line-up">At most {} runs, one after another{}.</p>').format(runs, about)


def sentence_card(message: str, element: str = "") -> Markup:
    """A refusal or a piece of news, as one sentence. element: the id of the control that it speaks of, which the page
    marks."""
    about = Markup(' data-about="{}"').format(element) if element else Markup("")
    return Markup('<p class="says-no" role="status"{}>{}</p>').format(
        about, linked(sentence(message), endpoint())
    )


def rounded(seconds: float) -> str:
    """An estimate is not exact to the second."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    step = 5 if seconds < 120 else 30 if seconds < 1200 else 300
    return duration(round(seconds / step) * step)


def _where(model: ModelFacts) -> str:
    if model.source == "bundled":
        return "Comes with the app; nothing to download."
    if model.source == "local folder":
        return "A folder of this machine; nothing to download."
    if model.cached:
        return "On this machine already; nothing to download."
    if model.download_bytes:
        return f"{size(model.download_bytes)} from the {model.source}, once."
    return f"From the {model.source}; prepared at the first run."
