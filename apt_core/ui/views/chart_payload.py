"""A chart as the page shows it: the figure for the browser, its table and its note as HTML."""

from __future__ import annotations

from typing import Any

from apt_core.plots.chart import Chart, RunLink, RunSet, Table
from apt_core.reports.names import file_stem
from apt_core.reports.run_words import run_title
from apt_core.runs.ids import is_run_id
from apt_core.ui.views.html import Markup, Row, join, table


def chart_payload(chart: Chart, runs: RunSet) -> dict[str, Any]:
    """The parts of the page that this chart fills; all of them empty when it has nothing to say."""
    if not chart.applies(runs):
        return {part_of(chart, "chart"): None, part_of(chart, "note"): "", part_of(chart, "table"): ""}
    return {
        part_of(chart, "chart"): {
            "figure": chart.figure(runs).to_json(),
            "title": chart.title(runs),
            "summary": chart.summary(runs),
            "file": f"{file_stem(runs.shown, run_title(runs.shown, lambda run_id: None))}-{chart.name}",
            "csv": csv_address(chart, runs.shown.id),
        },
        part_of(chart, "note"): str(chart_note(chart, runs)),
        part_of(chart, "table"): str(chart_table(chart.table(runs))),
    }


def part_of(chart: Chart, what: str) -> str:
    """'layers-chart': the name of a part, and the id of its element."""
    return f"{chart.name}-{what}"


def csv_address(chart: Chart, run_id: str) -> str:
    return f"studio/runs/{run_id}/{chart.name}.csv"


def chart_note(chart: Chart, runs: RunSet) -> Markup:
    """Links to the other runs in the figure, and what a reader must know to compare them."""
    links = join(_link(RunLink(run.id, run.pruning.method.label)) for run in chart.rivals(runs))
    nav = Markup('<nav class="rivals" aria-label="Runs in this chart"><span>Open</span>{}</nav>').format(
        links
    )
    said = chart.note(runs)
    words = Markup('<p class="honest quiet">{}</p>').format(said) if said else Markup("")
    return (nav if links else Markup("")) + words


def chart_table(numbers: Table) -> Markup:
    """The table of a chart; a row with a key is selected when its point is clicked."""
    rows = [Row([_cell(cell) for cell in row.cells], _key(row.key)) for row in numbers.rows]
    return table(numbers.heads, rows, numbers.caption, numbers.kinds)


def _key(key: str) -> Markup:
    return Markup('data-key="{}"').format(key) if key else Markup("")


def _cell(cell: str | RunLink) -> str | Markup:
    if not isinstance(cell, RunLink):
        return cell
    return Markup("<strong>{}</strong> (shown)").format(_link(cell)) if cell.shown else _link(cell)


def _link(cell: RunLink) -> Markup:
    """Opens the run in this tab, without loading the page again; a recorded sample by its address."""
    here = Markup('data-action="open" data-run="{}"').format(cell.run_id) if is_run_id(cell.run_id) else ""
    return Markup('<a href="?run={}" {}>{}</a>').format(cell.run_id, here, cell.text)
