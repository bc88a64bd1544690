"""A figure as the browser needs it."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from apt_core.events.records import RunRecord


def drawing(plot: ModuleType, record: RunRecord, name: str, csv: str, **more: Any) -> dict[str, Any]:
    """A figure of `apt_core.plots` with its words. `csv`: the download that has its numbers."""
    return {
        "figure": plot.figure(record, **more).to_json(),
        "title": plot.title(record),
        "summary": plot.summary(record),
        "file": f"{record.id}-{name}",
        "csv": f"studio/runs/{record.id}/{csv}",
    }
