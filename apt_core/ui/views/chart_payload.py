"""A chart as the page shows it: the figure for the browser, its table and its note as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apt_core.events.records import RunRecord
from apt_core.plots.chart import Chart, RunLink, RunSet, Table
from apt_core.reports.names import file_stem, stem_of_all
from apt_core.reports.run_words import run_title
from apt_core.studies.compare import MOST
from apt_core.ui.views.html import Markup, Row, join, table


def chart_payload(chart: Chart, runs: RunSet) -> dict[str, Any] | None:
    """What the page draws: the figure, its words, its table and where its numbers are; None when it has nothing to
    say."""
    if not chart.applies(runs):
        return None
    return {
        "figure": chart.figure(runs).to_json(),
        "title": chart.title(runs),
        "summary": chart.summary(runs),
        "note": str(chart_note(chart, runs)),
        "table": str(chart_table(chart.table(runs))),
        "file": f"{_stem(runs)}-{chart.name}",
        "csv": set_address(runs.members, f"{chart.name}.csv")
        if runs.compare
        else csv_address(chart, runs.shown.id),
    }


def _stem(runs: RunSet) -> str:
    """What its files are called."""
    titles = [run_title(run, lambda run_id: None) for run in runs.members]
    return stem_of_all(runs.members, titles) if runs.compare else file_stem(runs.shown, titles[0])


def part_of(chart: Chart, before: str = "") -> str:
    """'layers-chart': the name of a part, and the id of its element. before: where the page has the chart a second
    time."""
    return f"{before}{chart.name}-chart"


def csv_address(chart: Chart, run_id: str) -> str:
    return f"studio/runs/{run_id}/{chart.name}.csv"


def set_address(members: Sequence[RunRecord], file: str) -> str:
    """A download of several runs that are compared."""
    return f"studio/compare/{file}?runs={','.join(run.id for run in members)}"


def chart_note(chart: Chart, runs: RunSet) -> Markup:
    """Links to the other runs in the figure and to the comparison of all, and what a reader must know. The page of a
    study lists its runs anyway."""
    rivals = () if runs.study else chart.rivals(runs)
    links = join(run_link(RunLink(run.id, run.pruning.method.label)) for run in rivals)
    nav = Markup('<nav class="rivals" aria-label="Runs in this chart"><span>Open</span>{}{}</nav>').format(
        links, compare_link([runs.shown.id, *(run.id for run in rivals)], "Compare all")
    )
    said = chart.note(runs)
    words = Markup('<p class="honest quiet">{}</p>').format(said) if said else Markup("")
    return (nav if links else Markup("")) + words


def compare_link(run_ids: Sequence[str], text: str) -> Markup:
    """Opens the comparison of these runs in this tab; nothing for more than it takes."""
    if len(run_ids) > MOST:
        return Markup("")
    return Markup('<a href="?compare={0}" data-action="compare" data-runs="{0}">{1}</a>').format(
        ",".join(run_ids), text
    )


def chart_table(numbers: Table) -> Markup:
    """The table of a chart; a row with a key is selected when its point is clicked."""
    rows = [Row([_cell(cell) for cell in row.cells], _key(row.key)) for row in numbers.rows]
    return table(numbers.heads, rows, numbers.caption, numbers.kinds)


def _key(key: str) -> Markup:
    return Markup('data-key="{}"').format(key) if key else Markup("")


def _cell(cell: str | RunLink) -> str | Markup:
    if not isinstance(cell, RunLink):
        return cell
    return Markup("<strong>{}</strong> (shown)").format(run_link(cell)) if cell.shown else run_link(cell)


def run_link(cell: RunLink) -> Markup:
    return Markup('<a href="?run={}">{}</a>').format(cell.run_id, cell.text)
