"""A report as Markdown (with the tables of GitHub): every chart becomes its title, its words and its numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from apt_core.events import Answers
from apt_core.plots.chart import RunLink, Table
from apt_core.reports.document import ChartPart, Document, Section

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#&~$])")
_STARTS_A_LIST = re.compile(r"^(\d+)([.)])(?=\s|$)|^([-+=])(?=[\s=-]|$)")


def to_markdown(document: Document) -> str:
    """The whole file. Text from the records is escaped: it stays text, whatever is in it."""
    parts = [f"# {escaped(document.title)}", escaped(document.made), escaped(document.left_out)]
    if document.overview is not None:
        parts += ["## Side by side", table(document.overview)]
        parts += [table(document.differing)] if document.differing else []
        parts += ["### Window by window", _list(document.paired)] if document.paired else []
        parts += map(_chart, document.shared)
        parts += _outcomes(document)
    alone = len(document.sections) == 1
    parts += [_section(section, alone) for section in document.sections]
    return "\n\n".join(filter(None, parts)) + "\n"


def escaped(text: str) -> str:
    """On one line, without anything that Markdown or HTML would read as its own."""
    line = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return _STARTS_A_LIST.sub(lambda found: f"{found[1] or ''}\\{found[2] or found[3]}", line)


def table(numbers: Table) -> str:
    """Its caption, and under it the numbers; columns of numbers are aligned to the right."""
    rules = ["--:" if kind == "n" else "---" for kind in numbers.kinds]
    rows = [[_cell(cell) for cell in row.cells] for row in numbers.rows]
    lines = "\n".join(map(_row, [list(map(escaped, numbers.heads)), rules, *rows]))
    return f"{escaped(numbers.caption)}:\n\n{lines}"


def fenced(text: str, language: str) -> str:
    """Code as it is, in a fence that is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def bullets(pairs: Iterable[tuple[str, str]]) -> str:
    """'- name: value', a line each."""
    return "\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in pairs)


def _outcomes(document: Document) -> list[str]:
    if not document.outcomes:
        return []
    return [
        "### Quality against savings",
        *map(table, document.outcomes),
        escaped(document.outcomes_note),
    ]


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)


def _section(section: Section, alone: bool) -> str:
    """alone: the title of the report names this run already."""
    parts = (
        "" if alone else f"## {escaped(section.title)}",
        f"**{escaped(section.verdict)}**",
        escaped(section.asked),
        escaped(section.conditions),
        escaped(section.failure),
        bullets((figure.name, f"{figure.value}; {figure.said}") for figure in section.figures),
        *map(_chart, section.charts),
        *map(answers, section.questions),
        _sizes(section),
        "\n".join(f"- Warning: {escaped(message)}" for message in section.warnings),
        "### How this was made",
        bullets(section.facts),
        fenced(section.command, "sh"),
        fenced(section.python, "python"),
    )
    return "\n\n".join(filter(None, parts))


def answers(found: Answers) -> str:
    """A question and what both models wrote."""
    said = [
        f"{name} ({side.tokens} tokens):\n\n{_quoted(side.text)}"
        for name, side in zip(("Dense", "Pruned"), found.answered.sides, strict=False)
    ]
    return "\n\n".join([f"### Both were asked: {escaped(found.question.prompt)}", *said])


def _quoted(text: str) -> str:
    return "\n".join(f"> {escaped(line)}".rstrip() for line in text.strip().splitlines() or ["(nothing)"])


def _chart(chart: ChartPart) -> str:
    parts = (f"### {escaped(chart.title)}", escaped(chart.summary), escaped(chart.note), table(chart.table))
    return "\n\n".join(filter(None, parts))


def _sizes(section: Section) -> str:
    if not section.sizes:
        return ""
    lines = [
        ["what", "dense", "pruned"],
        ["---", "--:", "--:"],
        *(map(escaped, row) for row in section.sizes),
    ]
    rows = "\n".join(_row(list(line)) for line in lines)
    return f"### Size and speed\n\n{rows}\n\n{escaped(section.honest)}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: str | RunLink) -> str:
    return escaped(cell.text if isinstance(cell, RunLink) else cell)
