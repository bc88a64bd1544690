"""The charts of a sweep's page, by the registry of charts. No gradio."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from apt_core.events.records import RunRecord
from apt_core.plots import study_charts
from apt_core.plots.chart import Chart, RunSet
from apt_core.ui.views.chart_cache import ChartCache
from apt_core.ui.views.chart_payload import chart_payload, part_of

PREFIX = "sweep-"  # the same charts are on the page of a run
_cache = ChartCache()  # many tabs watch one sweep


def looks_of(records: Sequence[RunRecord]) -> str:
    """Another word whenever a chart of these runs looks different."""
    if not records:
        return ""
    runs = _set(records)
    looks = [(chart.name, chart.looks(runs)) for chart in study_charts() if chart.applies(runs)]
    return hashlib.sha256(repr((runs.shown.study, looks)).encode()).hexdigest()[:16]


def sweep_charts(records: Sequence[RunRecord], looks: str) -> dict[str, Any]:
    """Name of a part -> HTML or chart; all of them empty while there is nothing to draw. looks: of these runs."""
    return {
        part_of(chart, PREFIX): _cache.once((chart.name, looks), partial(_payload, chart, records))
        if records
        else None
        for chart in study_charts()
    }


def _set(records: Sequence[RunRecord]) -> RunSet:
    return RunSet(records[0], tuple(records[1:]), study=True)


def _payload(chart: Chart, records: Sequence[RunRecord]) -> dict[str, Any] | None:
    return chart_payload(chart, _set(records))
