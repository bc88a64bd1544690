"""The slides of a run as HTML for the presenter. No gradio."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.base.patterns import SemiStructured
from apt_core.events.asking import Answered
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.reports.run_words import Figure, Side
from apt_core.reports.slides import Slide, slides_of
from apt_core.ui.views import answers
from apt_core.ui.views.html import Markup, join, table

_ROWS, _COLUMNS = 6, 16  # of the illustration
_LINES, _CHARACTERS = 8, 400  # of an answer
_STRIDE = 37  # a prime that no count of cells contains: each comes once, in an order that looks like none


def slides_html(record: RunRecord, title: str) -> Markup:
    """All slides, one section each; the presenter shows one at a time. Raises BadInput for what cannot be shown."""
    slides = slides_of(record, title)
    about = f"{title} · {record.job.label}"
    return join(_slide(slide, place, len(slides), about) for place, slide in enumerate(slides, start=1))


def present_link(record: RunRecord) -> Markup:
    """The button that presents this run; nothing for what has no slides."""
    if record.finished is None or "pruned" not in record.job.subjects or not record.layers:
        return Markup("")
    return Markup('<a class="quiet-button" href="?present={0}" data-present="{0}">Present</a>').format(
        record.id
    )


def _slide(slide: Slide, place: int, of: int, about: str) -> Markup:
    parts = (
        Markup("<h2>{}</h2>").format(slide.title),
        _figures(slide.figures),
        _picture(slide.picture) if slide.picture else "",
        answers.compared(_brief(slide.answers.answered)) if slide.answers else "",
        table(("what", "dense", "pruned"), slide.rows, "Measured on one machine", "tnn")
        if slide.rows
        else "",
        join(Markup("<p>{}</p>").format(line) for line in slide.lines if line),
    )
    return Markup(
        '<section class="slide" data-slide="{}" role="group" aria-roledescription="slide" tabindex="0" '
        'aria-label="{} of {}: {}"><div class="slide-body">{}</div>'
        '<p class="slide-foot"><span>{}</span><span class="slide-number">{} / {}</span></p></section>'
    ).format(slide.name, place, of, slide.title, join(parts), about, place, of)


def _brief(answered: Answered) -> Answered:
    """As much of both texts as a slide has room for."""
    return answered.model_copy(
        update={"dense": _beginning(answered.dense), "pruned": _beginning(answered.pruned)}
    )


def _beginning(text: str) -> str:
    lines = text.strip().splitlines()
    short = "\n".join(lines[:_LINES])[:_CHARACTERS].rstrip()
    return short if short == text.strip() else f"{short} …"


def _figures(figures: Sequence[Figure]) -> Markup:
    if not figures:
        return Markup("")
    return Markup('<div class="slide-figures" data-count="{}">{}</div>').format(
        min(len(figures), 4), join(map(_figure, figures))
    )


def _figure(figure: Figure) -> Markup:
    arrow = Markup('<span class="arrow" aria-hidden="true">→</span>')
    aside = Markup('<span class="aside">{}</span>').format(figure.aside) if figure.aside else ""
    return Markup('<div><p class="name">{}</p><p class="value">{}{}</p><p class="note">{}</p></div>').format(
        figure.name, join(map(_side, figure.sides), arrow), aside, figure.note
    )


def _side(side: Side) -> Markup:
    if not side.subject:
        return Markup("<span>{}</span>").format(side.text)
    return Markup('<span class="{0}"><span class="sr">{0} </span>{1}</span>').format(side.subject, side.text)


def _picture(job: Prune) -> Markup:
    """A few rows of weights, those removed left empty, by the run's own pattern."""
    rows = mask_picture(job)
    cells = join(Markup('<i class="gone"></i>' if gone else "<i></i>") for row in rows for gone in row)
    said = f"An illustration of {job.pattern.label}: a few rows of weights, those set to zero left empty."
    return Markup(
        '<figure class="mask"><div aria-hidden="true" style="--columns:{}">{}</div><figcaption>{}</figcaption></figure>'
    ).format(len(rows[0]), cells, said)


def mask_picture(job: Prune) -> list[list[bool]]:
    """True where the illustration leaves a weight out: of every M exactly M - N, or the share of all cells."""
    pattern = job.pattern
    columns = _COLUMNS - _COLUMNS % pattern.of if isinstance(pattern, SemiStructured) else _COLUMNS
    cells = _ROWS * columns
    turns = {(place * _STRIDE) % cells: place for place in range(cells)}
    ranks = [[turns[row * columns + column] for column in range(columns)] for row in range(_ROWS)]
    if isinstance(pattern, SemiStructured):
        return [_groups(pattern, row) for row in ranks]
    gone = round(pattern.sparsity * cells)
    return [[rank < gone for rank in row] for row in ranks]


def _groups(pattern: SemiStructured, ranks: Sequence[int]) -> list[bool]:
    """Of every group those whose turn comes first go."""
    found = [False] * len(ranks)
    for start in range(0, len(ranks), pattern.of):
        group = sorted(range(start, start + pattern.of), key=lambda place: ranks[place])
        for place in group[: pattern.of - pattern.keep]:
            found[place] = True
    return found
