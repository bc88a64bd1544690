"""A sweep as the page shows it: how far it is, one row for every run, what it found."""

from __future__ import annotations

import math
from collections.abc import Sequence

from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.words import DASH, STATUS_WORDS, duration, number, percent, times
from apt_core.jobs.study import Study
from apt_core.reports.reproduce_study import study_again
from apt_core.reports.run_words import has_numbers
from apt_core.studies.bisection import Found, Wait, next_job
from apt_core.studies.compare import FEWEST, MOST
from apt_core.studies.sweep import BISECTION, Row, live, total_seconds, worked_side_by_side
from apt_core.ui.views.cards import sentence_card
from apt_core.ui.views.chart_payload import compare_link
from apt_core.ui.views.command import copied_block
from apt_core.ui.views.html import Markup, join

_HEADS = ("Run", "Pattern", "Seed", "Windows", "Status", "Perplexity", "Time")
_NUMBERS = ("Seed", "Windows", "Perplexity", "Time")


def sweep_view(study: Study, rows: Sequence[Row], policy: HostPolicy = STRICT) -> Markup:
    """All of it; a row opens its run by its link, whose charts show the whole sweep."""
    heads = join(
        Markup('<th scope="col" {}>{}</th>').format(Markup('class="n"') if head in _NUMBERS else "", head)
        for head in _HEADS
    )
    return (
        _how_far(study, rows)
        + Markup(
            '<div class="scroll" tabindex="0" role="region" aria-label="Runs of the sweep"><table class="runs">'
            '<caption class="sr">Runs of the sweep</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
        ).format(heads, join(map(_row, rows)))
        + _again(study, policy)
    )


def _again(study: Study, policy: HostPolicy) -> Markup:
    again = study_again(study, policy)
    return copied_block(again) if again else Markup("")


def _how_far(study: Study, rows: Sequence[Row]) -> Markup:
    ended = [row for row in rows if row.status == "finished"]
    link = Markup('<a href="?study={}&amp;tab=sweep">link</a>').format(study.id)
    spent = total_seconds(rows)
    words = f"{len(ended)} of {len(rows)} runs have finished"
    if study.kind == BISECTION and live(rows):
        words += " so far; each result decides the next run"
    if worked_side_by_side(rows):
        words += f"; {duration(spent['total'])} together, some of them side by side"
    elif spent["alone"] > spent["total"] > 0:
        words += f"; {duration(spent['total'])} together, {duration(spent['alone'])} if each had been alone"
    said = Markup('<p class="quiet" data-study="{}">{}. {}</p>').format(study.id, words, link)
    return said + _found(study, rows) + _compared(rows) + _reports(study, rows)


def _compared(rows: Sequence[Row]) -> Markup:
    """Opens the comparison of the runs that have numbers, each against the lowest perplexity so far; of too many the
    lowest ones."""
    known = [row for row in rows if row.record and has_numbers(row.record)]
    if len(known) < FEWEST:
        return Markup("")
    best = sorted(known, key=lambda row: math.inf if row.perplexity is None else row.perplexity)[:MOST]
    text = "Compare all" if len(known) <= MOST else f"Compare the best {MOST}"
    return Markup('<p class="downloads">{}</p>').format(compare_link([row.run for row in best], text))


def _reports(study: Study, rows: Sequence[Row]) -> Markup:
    """What the sweep came to so far, as a file for others."""
    if not any(row.record and has_numbers(row.record) for row in rows):
        return Markup("")
    return Markup(
        '<nav class="downloads" aria-label="Download"><span>Download</span>'
        '<a href="studio/studies/{0}/report.html" download>Report (HTML)</a>'
        '<a href="studio/studies/{0}/report.md" download>Report (Markdown)</a></nav>'
    ).format(study.id)


def _found(study: Study, rows: Sequence[Row]) -> Markup:
    if study.kind != BISECTION:
        return Markup("")
    step = next_job(study, [row.record for row in rows if row.record])
    if isinstance(step, Found):
        return sentence_card(step.sentence)
    return sentence_card(step.reason) if isinstance(step, Wait) and step.reason else Markup("")


def _row(row: Row) -> Markup:
    allocation = row.job.method.label
    name = Markup('<a href="?run={}" data-action="open">{}</a>').format(row.run, allocation)
    return Markup(
        '<tr data-run="{id}" data-status="{status}"><th scope="row" data-head="Model">{name}</th>'
        '<td data-head="Pattern">{pattern}</td><td data-head="Seed" class="n">{seed}</td>'
        '<td data-head="Windows" class="n">{windows}</td>'
        '<td data-head="Status"><span class="state">{words}</span>{why}</td>'
        '<td data-head="Perplexity" class="n">{perplexity}</td><td data-head="Time" class="n">{time}</td></tr>'
    ).format(
        id=row.run,
        status=row.status,
        name=name if row.record else allocation,
        pattern=row.job.pattern.label,
        seed=row.job.seed,
        windows=row.job.calibration.samples,
        words=_status(row),
        why=Markup(" <small>{}</small>").format(row.failure) if row.failure else "",
        perplexity=DASH if row.perplexity is None else f"{number(row.perplexity)} ({times(row.ratio)})",
        time=duration(row.seconds),
    )


def _status(row: Row) -> str:
    """'running, 40% of the layers'."""
    record = row.record
    if record is None:
        return "deleted"
    words = STATUS_WORDS[record.status]
    if record.status != "running" or record.model is None or not record.model.total_layers:
        return words
    return f"{words}, {percent(len(record.layers) / record.model.total_layers)} of the layers"
