"""Links to the results of a run. They name the run, never a file."""

from __future__ import annotations

from apt_core.base.words import size
from apt_core.events.records import RunRecord
from apt_core.ui.views.html import Markup, join


def downloads_block(record: RunRecord, has_weights: bool) -> Markup:
    """JSON and CSV as soon as there is a layer, the pruned model once it is whole."""
    if not record.layers and record.dense is None:
        return Markup("")
    links = [
        _link(record.id, "results.json", "Results, JSON"),
        _link(record.id, "layers.csv", "Layers, CSV"),
    ]
    if has_weights and not record.live:
        measured = record.pruned_speed
        how_big = f", {size(measured.bytes_on_disk)}" if measured else ""
        links.append(_link(record.id, "model.zip", f"Pruned model, safetensors{how_big}"))
    elif record.status == "finished" and not record.id.startswith("sample-"):
        links.append(Markup('<span class="quiet">The pruned weights were removed to save disk space.</span>'))
    return Markup('<nav class="downloads" aria-label="Download"><span>Download</span>{}</nav>').format(
        join(links)
    )


def _link(run_id: str, what: str, label: str) -> Markup:
    return Markup('<a href="studio/runs/{}/{}" download>{}</a>').format(run_id, what, label)
