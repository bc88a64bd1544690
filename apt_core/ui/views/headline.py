"""The verdict and the headline figures."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.base.words import verdict
from apt_core.events.records import RunRecord
from apt_core.reports import run_words
from apt_core.reports.run_words import Figure, Side
from apt_core.ui.views.html import Markup, join, term


def headline(record: RunRecord, title: str, samples: Sequence[tuple[str, str]] = ()) -> Markup:
    """The sentence of the run, whatever its state, and under it what was asked for.

    samples: (id, title) of all recorded samples; a sample links to the others.
    """
    return Markup(
        '<header class="headline" data-band="{}">{}<h2>{}</h2>{}<div class="small"><p class="asked">{}</p>{}</div>'
        "</header>"
    ).format(
        _band(record),
        _samples(record, samples),
        _title(record, title),
        _look(record),
        run_words.asked(record, title),
        _conditions(record),
    )


def figures(record: RunRecord) -> Markup:
    """One row; a dash where nothing is known yet."""
    return Markup('<div class="figures">{}</div>').format(join(map(_figure, run_words.figures(record))))


def _title(record: RunRecord, title: str) -> str | Markup:
    said = run_words.headline_sentence(record, title)
    if record.status == "finished" and record.ratio is not None:
        before, words, after = said.partition(verdict(record.ratio))
        return Markup("{}<em>{}</em>{}").format(before, words, after)
    return said


def _band(record: RunRecord) -> str:
    if record.status == "finished" and record.ratio is not None:
        return verdict(record.ratio).replace(" ", "-")
    return record.status


def _look(record: RunRecord) -> Markup:
    """What is worth looking at in a recorded sample."""
    return Markup('<p class="look">{}</p>').format(record.look) if record.look else Markup("")


def _samples(record: RunRecord, samples: Sequence[tuple[str, str]]) -> Markup:
    """That it is a recorded sample, and links to the rest."""
    if not record.id.startswith("sample-"):
        return Markup("")
    badge = Markup('<p class="badge">Recorded sample</p>')
    if len(samples) < 2:
        return badge
    links = [
        Markup('<strong aria-current="page">{}</strong>').format(title)
        if run_id == record.id
        else Markup('<a href="?run={}">{}</a>').format(run_id, title)
        for run_id, title in samples
    ]
    together = Markup('<a href="?compare={}">Compare all</a>').format(
        ",".join(run_id for run_id, _ in samples)
    )
    return Markup('<nav class="samples" aria-label="Recorded samples">{}{}{}</nav>').format(
        badge, join(links), together
    )


def _conditions(record: RunRecord) -> Markup:
    said = run_words.conditions(record)
    return Markup('<p class="conditions">{}</p>').format(said) if said else Markup("")


def _figure(figure: Figure) -> Markup:
    name = term(figure.term, figure.name, _sentence(figure.detail)) if figure.term else figure.name
    arrow = Markup('<span class="arrow" aria-hidden="true">→</span>')
    value = join(map(_side, figure.sides), arrow)
    if figure.aside:
        value += Markup('<span class="aside">{}</span>').format(figure.aside)
    return Markup(
        '<div class="figure"><p class="name">{}</p><p class="value">{}</p><p class="note">{}</p></div>'
    ).format(name, value, figure.note)


def _sentence(detail: str) -> str:
    """'On Wikipedia summaries; lower is better.'"""
    said = detail.lstrip("; ")
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _side(side: Side) -> Markup:
    if not side.subject:
        return Markup("{}").format(side.text)
    if side.subject == "model":
        return Markup("<span>{}</span>").format(side.text)
    return Markup('<span class="{}"><span class="sr">{} </span>{}</span>').format(
        side.subject, side.subject, side.text
    )
