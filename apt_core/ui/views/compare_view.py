"""Several runs beside one another, as named parts of the page. No gradio."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from apt_core.base.words import STATUS_WORDS, number
from apt_core.events.records import RunRecord
from apt_core.plots import charts
from apt_core.plots.chart import RunLink, RunSet
from apt_core.reports.outcomes import outcome_tables, outcomes_note
from apt_core.reports.reproduce_look import comparison_again
from apt_core.reports.run_words import has_numbers
from apt_core.runs.ids import is_run_id
from apt_core.studies.compare import MOST, sentences
from apt_core.studies.differing import Differing, differing_fields, said
from apt_core.studies.layer_difference import same_layers
from apt_core.studies.names import names_of
from apt_core.ui.studio import Studio
from apt_core.ui.views.chart_cache import ChartCache
from apt_core.ui.views.chart_payload import (
    chart_payload,
    chart_table,
    compare_link,
    part_of,
    run_link,
    set_address,
)
from apt_core.ui.views.command import copied_block
from apt_core.ui.views.html import Markup, facts, join

NOTHING = (
    f'<p class="nothing">Nothing is compared yet. Tick two to {MOST} runs under Runs and press Compare.</p>'
)
COMPARED = "compare-"  # what the ids of its charts begin with
_LONGEST = 100  # characters of an id in an address
_FEW = 4  # runs whose names fit into a line or two
_cache = ChartCache()


def ids_of(text: Any) -> list[str]:
    """'ID,ID' of an address or a click; one more than can be compared at most, so that too many is said."""
    parts = str(text or "")[: 2 * MOST * _LONGEST].split(",")[: MOST + 1]
    return [part.strip()[:_LONGEST] for part in parts if part.strip()]


def compare_parts(studio: Studio, runs: RunSet) -> dict[str, Any]:
    """Name of a part -> HTML or chart."""
    differing = differing_fields(runs.members, studio.policy)
    parts: dict[str, Any] = {
        "head": str(_head(studio, runs)),
        "paired": str(_paired(runs)),
        "outcomes": str(_outcomes(runs.members)),
        "fields": str(_fields(differing, runs.members)),
        "downloads": str(_downloads(runs) + _again(runs)),
    }
    for chart in charts(compare=True):
        looks = repr(chart.looks(runs)) if chart.applies(runs) else ""
        key = (chart.name, *(run.id for run in runs.members), looks)
        parts[part_of(chart, COMPARED)] = _cache.once(key, partial(chart_payload, chart, runs))
    return parts


def _head(studio: Studio, runs: RunSet) -> Markup:
    """What is compared: every run with what came out, each a link."""
    names = names_of(runs.members)
    rows = join(_run(run, names[run.id], studio.title(run)) for run in runs.members)
    going = any(run.live for run in runs.members)
    ids = [run.id for run in runs.members]
    more = Markup('<p class="quiet">Some of them still go on; these are their figures so far. {}</p>').format(
        compare_link(ids, "Update")
    )
    return Markup('<header class="compared"><h2>{} runs compared</h2><ol>{}</ol>{}</header>').format(
        len(ids), rows, more if going else ""
    )


def _run(run: RunRecord, name: str, title: str) -> Markup:
    found = next(iter(run.evaluated_on(run.job.subjects[-1])), None)
    came_out = f"perplexity {number(found.perplexity)}" if found else STATUS_WORDS[run.status]
    sample = "" if is_run_id(run.id) else " · recorded sample"
    return Markup("<li>{} <small>{}{} · {}</small></li>").format(
        run_link(RunLink(run.id, name)), title, sample, came_out
    )


def _paired(runs: RunSet) -> Markup:
    """Every run against the first, in one sentence for each text."""
    said_ = join(Markup("<li>{}</li>").format(sentence) for sentence in sentences(runs.members))
    return Markup(
        '<section class="paired"><h3>Window by window</h3>{}<ul>{}</ul>'
        '<p class="honest quiet">The losses of two runs are subtracted window by window, so what makes a window '
        "hard for both cancels out; Student's t over the windows gives the interval.</p></section>"
    ).format(_another_first(runs.members), said_)


def _another_first(records: Sequence[RunRecord]) -> Markup:
    """Against which run the others stand, links that put another one there, and of several runs two at a time."""
    names, ids = names_of(records), [run.id for run in records]
    instead = [compare_link([one, *(other for other in ids if other != one)], names[one]) for one in ids[1:]]
    alike = [run.id for run in records[1:] if same_layers(records[0], run)] if len(ids) > 2 else []
    pairs = [compare_link([ids[0], one], names[one]) for one in alike]
    alone = Markup(" One alone against it, layer by layer: {}.").format(join(pairs, " · ")) if pairs else ""
    said = Markup('<p class="against">Each against <strong>{}</strong>. Put first instead: {}.{}</p>').format(
        names[ids[0]], join(instead, " · "), alone
    )
    if len(ids) <= _FEW:
        return said
    return Markup(
        '<details class="folded"><summary>Put another run first, or one alone against it</summary>{}</details>'
    ).format(said)


def _outcomes(records: Sequence[RunRecord]) -> Markup:
    """What was kept and what it saves; nothing before any of it is measured."""
    tables = join(map(chart_table, outcome_tables(records)))
    if not tables:
        return Markup("")
    return Markup(
        '<section class="outcomes"><h3>Quality against savings</h3>{}<p class="honest quiet">{}</p></section>'
    ).format(tables, outcomes_note(records))


def _fields(found: Differing, records: Sequence[RunRecord]) -> Markup:
    """The fields that differ, marked where a run departs from the first; the rest behind a line that opens it."""
    same = Markup('<details class="folded"><summary>{} fields are the same</summary>{}</details>').format(
        len(found.shared), facts((path, said(value)) for path, value in found.shared.items())
    )
    if not found.differing:
        alike = Markup("<p>These runs were asked for the very same.</p>")
        return Markup('<section class="fields"><h3>What differs</h3>{}{}</section>').format(alike, same)
    return Markup('<section class="fields"><h3>What differs</h3>{}{}</section>').format(
        _table(found, records), same
    )


def _table(found: Differing, records: Sequence[RunRecord]) -> Markup:
    names = names_of(records)
    heads = join(Markup('<th scope="col">{}</th>').format(names[run.id]) for run in records)
    rows = join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(path, _cells(values, records))
        for path, values in found.differing.items()
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="Fields that differ"><table class="differs">'
        '<caption class="sr">Fields that differ; a value unlike that of the first run is marked</caption>'
        '<thead><tr><th scope="col">field</th>{}</tr></thead><tbody>{}</tbody></table></div>'
    ).format(heads, rows)


def _cells(values: dict[str, Any], records: Sequence[RunRecord]) -> Markup:
    first = values[records[0].id]
    return join(
        Markup("<td>{}</td>").format(said(values[run.id]))
        if values[run.id] == first
        else Markup("<td><mark>{}</mark></td>").format(said(values[run.id]))
        for run in records
    )


def _again(runs: RunSet) -> Markup:
    """Nothing where a recorded sample is among them, which no store has."""
    ids = [run.id for run in runs.members]
    return copied_block(comparison_again(ids)) if all(map(is_run_id, ids)) else Markup("")


def _downloads(runs: RunSet) -> Markup:
    files = [
        ("compare.json", "Comparison, JSON"),
        ("fields.csv", "Fields, CSV"),
        ("paired.csv", "Paired, CSV"),
        ("outcomes.csv", "Kept and saved, CSV"),
    ]
    files += [("tasks.csv", "Tasks, CSV")] if any(run.scored for run in runs.members) else []
    files += [
        (f"{chart.name}.csv", f"{chart.label}, CSV") for chart in charts(compare=True) if chart.applies(runs)
    ]
    if any(map(has_numbers, runs.members)):
        files += [("report.html", "Report (HTML)"), ("report.md", "Report (Markdown)")]
    links = join(
        Markup('<a href="{}" download>{}</a>').format(set_address(runs.members, file), label)
        for file, label in files
    )
    return Markup('<nav class="downloads" aria-label="Download"><span>Download</span>{}</nav>').format(links)
