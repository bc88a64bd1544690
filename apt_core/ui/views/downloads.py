"""Links to the results of a run. They name the run, never a file."""

from __future__ import annotations

from apt_core.base.words import size
from apt_core.events.records import RunRecord
from apt_core.models.checkpoint import to_gguf
from apt_core.plots import charts_of
from apt_core.plots.chart import RunSet
from apt_core.reports.run_words import has_numbers
from apt_core.ui.views.chart_payload import csv_address
from apt_core.ui.views.html import Markup, join


def downloads_block(record: RunRecord, has_weights: bool) -> Markup:
    """JSON, the CSV of every chart and reports as soon as there are numbers, the pruned model once it is whole."""
    if not has_numbers(record):
        return Markup("")
    links = [_link(address, label) for address, label in (*numbers_of(record), *reports_of(record))]
    if has_weights and not record.live:
        measured = record.pruned_speed
        how_big = f", {size(measured.bytes_on_disk)}" if measured else ""
        links.append(_link(f"studio/runs/{record.id}/model.zip", f"Pruned model, safetensors{how_big}"))
        if record.model and record.model.architecture in to_gguf.ARCHITECTURES:
            links.append(_made_when_asked(f"studio/runs/{record.id}/model.gguf", "Pruned model, GGUF"))
    elif _made_a_model(record):
        links.append(Markup('<span class="quiet">The pruned weights were removed to save disk space.</span>'))
    return Markup('<nav class="downloads" aria-label="Download"><span>Download</span>{}</nav>').format(
        join(links)
    )


def _made_a_model(record: RunRecord) -> bool:
    makes = len(record.job.subjects) > 1 and not record.id.startswith("sample-")
    return makes and record.status == "finished"


def numbers_of(record: RunRecord) -> list[tuple[str, str]]:
    """(address, label) of the whole result and of each chart of this run alone."""
    whole = (f"studio/runs/{record.id}/results.json", "Results, JSON")
    return [
        whole,
        *((csv_address(chart, record.id), f"{chart.label}, CSV") for chart in charts_of(RunSet(record))),
    ]


def reports_of(record: RunRecord) -> list[tuple[str, str]]:
    """(address, label) of the report of this run, in each of its forms."""
    return [
        (f"studio/runs/{record.id}/report.html", "Report (HTML)"),
        (f"studio/runs/{record.id}/report.md", "Report (Markdown)"),
    ]


def _link(address: str, label: str) -> Markup:
    return Markup('<a href="{}" download>{}</a>').format(address, label)


def _made_when_asked(address: str, label: str) -> Markup:
    """A file that may be refused: the answer names it as a download, and a refusal is read in a tab of its own."""
    return Markup('<a href="{}" target="_blank" rel="noopener">{}</a>').format(address, label)
