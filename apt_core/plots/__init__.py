"""One file, one chart: runs in, a plotly figure, its words, its table and its CSV out. No gradio, no torch.

A file of this folder that has a `CHART` is a chart, found on sight; a package outside names one under the entry
point group `apt_core.charts`. Imports studies and below.
"""

from __future__ import annotations

import logging
import pkgutil
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points

from apt_core.plots.chart import Chart, RunSet

GROUP = "apt_core.charts"
_log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def every_chart() -> tuple[Chart, ...]:
    """In the order of the page."""
    modules = [import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__)]
    found = [module.CHART for module in modules if hasattr(module, "CHART")] + _from_packages()
    return tuple(
        {chart.name: chart for chart in sorted(found, key=lambda one: (one.place, one.name))}.values()
    )


def charts(compare: bool = False) -> tuple[Chart, ...]:
    """The charts of the page of a run, or of the page that compares several."""
    return tuple(chart for chart in every_chart() if (chart.of_set if compare else chart.of_run))


def study_charts() -> tuple[Chart, ...]:
    """The charts of the page of a study."""
    return tuple(chart for chart in every_chart() if chart.of_study)


def charts_of(runs: RunSet) -> tuple[Chart, ...]:
    """The charts that have something to say about these runs."""
    of_these = study_charts() if runs.study else charts(runs.compare)
    return tuple(chart for chart in of_these if chart.applies(runs))


def _from_packages() -> list[Chart]:
    """A chart that cannot be loaded is named in the log and left out: the page works without it."""
    found = []
    for entry in entry_points(group=GROUP):
        try:
            found.append(entry.load())
        except Exception as error:
            _log.warning("The chart %s of another package could not be loaded: %s", entry.name, error)
    return found
