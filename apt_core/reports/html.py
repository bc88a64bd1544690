"""A report as one self-contained HTML file: its charts, styles and scripts are in it.

Text from the records is escaped by `Markup`; figures are data that no parser takes for HTML; a content security
policy lets nothing run but the scripts that are named by their hashes, and nothing be loaded at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import plotly

from apt_core.base.markup import Markup, facts, join, table
from apt_core.base.paths import ASSETS
from apt_core.events import Answers
from apt_core.plots.chart import RunLink, Table
from apt_core.plots.palette import swap, tokens
from apt_core.reports.document import ChartPart, Document, Section
from apt_core.reports.run_words import Figure, Side

MOST_BYTES = 5_000_000  # what a mail takes
_SMALL_BUNDLE = ASSETS / "report" / "plotly-cartesian.min.js"
_WHOLE_BUNDLE = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
# What the small bundle of plotly.js draws.
_CARTESIAN = frozenset(
    {"bar", "box", "contour", "heatmap", "histogram", "histogram2d", "image", "pie", "scatter", "violin"}
)
_TOO_LARGE = (
    "The charts and tables of single runs are left out, because with them this file would be larger than 5 MB; the "
    "report of one run has them."
)


_NOT_DRAWN = (
    "The chart of parallel axes is left out, because with what draws it this file would be larger than 5 MB; the page "
    "of the sweep has it."
)


def to_html(document: Document, most_bytes: int = MOST_BYTES) -> str:
    """The whole file; one that would be too large leaves out the charts that need all of plotly.js, then those of
    single runs, and says so."""
    text = _page(document)
    if len(text.encode()) <= most_bytes or len(document.sections) == 1:
        return text
    smaller = document.drawn_by(_CARTESIAN, _NOT_DRAWN)
    text = _page(smaller)
    return text if len(text.encode()) <= most_bytes else _page(smaller.brief(_TOO_LARGE))


def _page(document: Document) -> str:
    data, plotly_js, script = _data(document.charts), _bundle(document.charts), _asset("report.js")
    parts = (
        "<!DOCTYPE html>\n",
        Markup('<html lang="en"><head><meta charset="utf-8"><title>{}</title>').format(document.title),
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(plotly_js, script)}">',
        '<meta name="generator" content="APT Studio"><meta name="color-scheme" content="light dark">',
        f"<style>{_colours()}\n{_asset('report.css')}</style></head>\n<body>",
        _body(document),
        f'\n<script type="application/json" id="report-data">{data}</script>',
        f"\n<script>{plotly_js}</script>\n<script>{script}</script>\n</body></html>\n",
    )
    return "".join(map(str, parts))


def _policy(*scripts: str) -> str:
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(charts: Iterable[ChartPart]) -> str:
    """The figures as JSON in which no HTML parser finds a tag; their common template is there once."""
    figures = {chart.id: json.loads(chart.figure.to_json()) for chart in charts}
    template: Any = None
    for figure in figures.values():
        template = figure["layout"].pop("template", None) or template
    data = {"charts": figures, "template": template, "dark": swap()}
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _bundle(charts: Iterable[ChartPart]) -> str:
    """The smallest plotly.js that draws these charts."""
    kinds = {trace.type for chart in charts for trace in chart.figure.data}
    return _script(_SMALL_BUNDLE if kinds <= _CARTESIAN else _WHOLE_BUNDLE)


@lru_cache(maxsize=2)
def _script(file: Path) -> str:
    return file.read_text("utf-8").replace("\r\n", "\n")  # a parser does the same, before it takes the hash


def _asset(name: str) -> str:
    return (ASSETS / "report" / name).read_text("utf-8").replace("\r\n", "\n")


def _colours() -> str:
    """Light, dark where the system is, and light again on paper."""
    light, dark = (";".join(f"--apt-{name}:{hex}" for name, hex in side.items()) for side in tokens())
    return (
        f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"
        f"@media print{{:root{{{light}}}}}"
    )


# --- what people read ----------------------------------------------------------------------------


def _body(document: Document) -> Markup:
    left_out = Markup('<p class="left-out">{}</p>').format(document.left_out) if document.left_out else ""
    head = Markup('<header><p class="kind">Pruning report</p><h1>{}</h1><p class="made">{}</p>{}</header>')
    sections = [_section(section, document) for section in document.sections]
    main = Markup("<main>{}{}</main>").format(_comparison(document), join(sections))
    return head.format(document.title, document.made, left_out) + main


def _comparison(document: Document) -> Markup:
    if document.overview is None:
        return Markup("")
    parts = (
        _table(document.overview, document),
        _table(document.differing, document) if document.differing else Markup(""),
        _paired(document.paired),
        join(_chart(chart, document) for chart in document.shared),
        _outcomes(document),
    )
    return Markup('<section id="overview"><h2>Side by side</h2>{}</section>').format(join(parts))


def _paired(sentences: tuple[str, ...]) -> Markup:
    items = join(Markup("<li>{}</li>").format(sentence) for sentence in sentences)
    return Markup('<h3>Window by window</h3><ul class="paired">{}</ul>').format(items) if items else items


def _outcomes(document: Document) -> Markup:
    tables = join(_table(one, document) for one in document.outcomes)
    note = Markup('<p class="note">{}</p>').format(document.outcomes_note)
    return Markup("<h3>Quality against savings</h3>{}{}").format(tables, note) if tables else tables


def _section(section: Section, document: Document) -> Markup:
    parts = (
        _header(section, alone=len(document.sections) == 1),
        Markup('<div class="figures">{}</div>').format(join(map(_figure, section.figures))),
        join(_chart(chart, document) for chart in section.charts),
        join(map(_answers, section.questions)),
        _sizes(section),
        _warnings(section),
        Markup("<h3>How this was made</h3>{}").format(facts(section.facts)),
        _copied(section.command, "Command line", "Copy as command"),
        _copied(section.python, "Python", "Copy as Python"),
    )
    return Markup('<section id="run-{}">{}</section>').format(section.run_id, join(parts))


def _header(section: Section, alone: bool) -> Markup:
    """alone: the title of the report names this run already."""
    name = Markup("") if alone else Markup('<p class="kind">{}</p>').format(section.title)
    failure = Markup('<p class="failure">{}</p>').format(section.failure) if section.failure else ""
    return Markup(
        '<header data-band="{}">{}<h2>{}</h2><p class="asked">{}</p><p class="conditions">{}</p>{}</header>'
    ).format(section.band, name, section.verdict, section.asked, section.conditions, failure)


def _figure(figure: Figure) -> Markup:
    arrow = Markup('<span class="arrow" aria-hidden="true">→</span>')
    aside = Markup('<span class="aside">{}</span>').format(figure.aside) if figure.aside else ""
    return Markup('<div><p class="name">{}</p><p class="value">{}{}</p><p class="note">{}</p></div>').format(
        figure.name, join(map(_side, figure.sides), arrow), aside, figure.said
    )


def _side(side: Side) -> Markup:
    if side.subject in ("", "model"):
        return Markup("<span>{}</span>").format(side.text)
    return Markup('<span class="{}"><span class="sr">{} </span>{}</span>').format(
        side.subject, side.subject, side.text
    )


def _answers(answers: Answers) -> Markup:
    """What both models wrote, side by side."""
    columns = join(
        Markup('<div><h4 class="{}">{} <small>{} tokens</small></h4><p>{}</p></div>').format(
            name, name.capitalize(), side.tokens, side.text
        )
        for name, side in zip(("dense", "pruned"), answers.answered.sides, strict=False)
    )
    return Markup('<h3>Both were asked: {}</h3><div class="answers">{}</div>').format(
        answers.question.prompt, columns
    )


def _chart(chart: ChartPart, document: Document) -> Markup:
    note = Markup('<p class="note">{}</p>').format(chart.note) if chart.note else ""
    return Markup(
        '<figure><h3>{}</h3><div class="plot" data-chart="{}" role="img" aria-label="{}. {}" '
        'style="min-height: {}px"></div><figcaption>{}</figcaption>{}'
        "<details><summary>The same numbers as a table</summary>{}</details></figure>"
    ).format(
        chart.title,
        chart.id,
        chart.title,
        chart.summary,
        chart.figure.layout.height or 360,
        chart.summary,
        note,
        _table(chart.table, document),
    )


def _table(numbers: Table, document: Document) -> Markup:
    rows = [[_cell(cell, document) for cell in row.cells] for row in numbers.rows]
    return table(numbers.heads, rows, numbers.caption, numbers.kinds)


def _cell(cell: str | RunLink, document: Document) -> str | Markup:
    """A run that is in this report is linked to its section."""
    if not isinstance(cell, RunLink):
        return cell
    if cell.run_id not in document.runs:
        return cell.text
    return Markup('<a href="#run-{}">{}</a>').format(cell.run_id, cell.text)


def _sizes(section: Section) -> Markup:
    if not section.sizes:
        return Markup("")
    measured = table(("what", "dense", "pruned"), section.sizes, "Measured on one machine", "tnn")
    return Markup('<h3>Size and speed</h3>{}<p class="honest">{}</p>').format(measured, section.honest)


def _warnings(section: Section) -> Markup:
    items = join(Markup("<li>{}</li>").format(message) for message in section.warnings)
    return Markup('<ul class="warnings" aria-label="Warnings">{}</ul>').format(items) if items else items


def _copied(text: str, name: str, button: str) -> Markup:
    return Markup(
        '<div class="command"><pre tabindex="0" aria-label="{}">{}</pre>'
        '<button type="button" data-copy>{}</button></div>'
    ).format(name, text, button)
