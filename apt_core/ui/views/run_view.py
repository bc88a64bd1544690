"""What a run looks like, as named parts: the same for the first look and for every later one. No gradio."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from apt_core.base.errors import PruneError
from apt_core.events.records import RunRecord
from apt_core.plots import charts, charts_of
from apt_core.plots.chart import Chart, RunSet
from apt_core.reports.reproduce_study import study_again
from apt_core.studies.race import RACE
from apt_core.ui.studio import Studio
from apt_core.ui.views.chart_cache import ChartCache
from apt_core.ui.views.chart_payload import chart_payload, part_of
from apt_core.ui.views.command import command_block, copied_block
from apt_core.ui.views.downloads import downloads_block
from apt_core.ui.views.headline import figures, headline
from apt_core.ui.views.html import Markup
from apt_core.ui.views.progress import status_block
from apt_core.ui.views.run_views import view_links
from apt_core.ui.views.slides import present_link
from apt_core.ui.views.tables import provenance, size_panel, warnings_block

_cache = ChartCache()  # many tabs watch one run


class ViewState(NamedTuple):
    """What a tab shows already. It travels with the tab, so that the server remembers nothing about it."""

    run: str = ""
    status: str = ""
    seq: int = -1
    charts: str = ""  # 'layers=1f0c9a race=77b0d2': how each chart looks, as fingerprints

    @classmethod
    def of(cls, runs: RunSet) -> ViewState:
        looks = " ".join(f"{chart.name}={_fingerprint(chart, runs)}" for chart in charts_of(runs))
        return cls(runs.shown.id, runs.shown.status, runs.shown.last_seq, looks)

    @classmethod
    def parse(cls, value: Any) -> ViewState:
        """Whatever a browser says it shows; what does not fit counts as not shown."""
        if not isinstance(value, Mapping):
            return cls()
        run, status, looks = (str(value.get(name) or "") for name in ("run", "status", "charts"))
        return cls(run[:100], status[:20], _whole(value.get("seq")), looks[:2000])

    def looks(self) -> dict[str, str]:
        """Chart -> fingerprint."""
        return dict(pair.split("=", 1) for pair in self.charts.split() if "=" in pair)


def parts(studio: Studio, record: RunRecord, seen: ViewState | None = None) -> dict[str, Any]:
    """Name of a part -> HTML or chart, for everything that a tab which shows `seen` does not show yet."""
    runs = studio.run_set(record)
    return _parts(studio, runs, ViewState.of(runs), seen)


def _parts(studio: Studio, runs: RunSet, now: ViewState, seen: ViewState | None) -> dict[str, Any]:
    """now: what a tab shows that has all of `runs`."""
    record = runs.shown
    seen = seen if seen and (seen.run, seen.status) == (now.run, now.status) else ViewState()
    new: dict[str, Any] = {}
    title = studio.title(record)
    if record.live or not seen.run:
        place, ahead = studio.position(record), studio.ahead(record)
        new["status"] = str(status_block(record, title, time.time(), place, ahead))
    if seen.seq != now.seq:
        kept = studio.checkpoint(record.id) is not None
        words = ("words", record.id, record.status, now.seq, now.charts, title, kept, studio.policy)
        new |= _cache.once(words, partial(_words, studio, record, title, kept))
    before, after = seen.looks(), now.looks()
    if not seen.run or before.keys() != after.keys():
        new["views"] = str(view_links(record, after.keys()))
    for chart in charts():
        look = after.get(chart.name, "")
        if not seen.run or before.get(chart.name, "") != look:
            key = (chart.name, record.id, record.status, look)
            new[part_of(chart)] = _cache.once(key, partial(chart_payload, chart, runs))
    return new


def live(studio: Studio, record: RunRecord, seen: ViewState, hidden: bool = False) -> dict[str, Any]:
    """The answer to a tab that asks what is new: `turned` when the run is in another state than it shows
    (then it asks for everything, buttons included), else the new parts and what they make it show.

    hidden: nobody sees the tab, so nothing is worked out for it.
    """
    if record.status != seen.status or hidden:
        return {"turned": record.status != seen.status}
    runs = studio.run_set(record)
    now = ViewState.of(runs)
    return {"turned": False, "parts": _parts(studio, runs, now, seen), "seen": _shows(runs, now)}


def shows(studio: Studio, record: RunRecord) -> dict[str, Any]:
    """What a tab shows now, and whether it should go on asking: while the run, or another one in its charts, goes
    on."""
    runs = studio.run_set(record)
    return _shows(runs, ViewState.of(runs))


def _shows(runs: RunSet, now: ViewState) -> dict[str, Any]:
    drawn = [run for chart in charts_of(runs) for run in (*chart.rivals(runs), *chart.awaited(runs))]
    return now._asdict() | {"live": any(run.live for run in (runs.shown, *drawn))}


def _words(studio: Studio, record: RunRecord, title: str, kept: bool) -> dict[str, str]:
    """kept: whether the weights are here."""
    return {
        "headline": str(headline(record, title, studio.samples)),
        "present": str(present_link(record)),
        "figures": str(figures(record)),
        "sizes": str(size_panel(record)),
        "warnings": str(warnings_block(record)),
        "downloads": str(downloads_block(record, kept)),
        "provenance": str(
            provenance(record, studio.policy)
            + command_block([record.job], studio.policy)
            + _race_again(studio, record)
        ),
    }


def _race_again(studio: Studio, record: RunRecord) -> Markup:
    """The race that the run is part of; nothing for any other run, and where nobody knows it any more."""
    try:
        study = studio.study(record.study) if record.study else None
    except PruneError:
        return Markup("")
    again = study_again(study, studio.policy) if study and study.kind == RACE else None
    return copied_block(again, "The whole race as command or Python") if again else Markup("")


def _fingerprint(chart: Chart, runs: RunSet) -> str:
    return hashlib.sha256(repr(chart.looks(runs)).encode()).hexdigest()[:12]


def _whole(value: Any) -> int:
    """From JSON or from an address; -1 for what is no whole number."""
    text = str(value)
    return int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() and len(text) < 12 else -1
