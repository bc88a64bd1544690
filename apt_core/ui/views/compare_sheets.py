"""The numbers of a comparison as CSV: its fields, its pairs, what each run kept, and those of its charts."""

from __future__ import annotations

from apt_core.base.policy import HostPolicy
from apt_core.plots import charts_of
from apt_core.plots.chart import RunSet, Sheet
from apt_core.reports.outcomes import outcomes_sheet, tasks_sheet
from apt_core.studies.compare import Comparison, compare
from apt_core.studies.differing import said
from apt_core.studies.paired import Paired


def sheet_of(runs: RunSet, name: str, policy: HostPolicy) -> Sheet | None:
    """The sheet of this name, None where there is none."""
    if name == "fields":
        return _fields(compare(runs.members, policy))
    if name == "paired":
        return _paired(compare(runs.members, policy))
    if name == "outcomes":
        return outcomes_sheet(runs.members)
    if name == "tasks":
        return tasks_sheet(runs.members)
    return next((chart.sheet(runs) for chart in charts_of(runs) if chart.name == name), None)


def _fields(found: Comparison) -> Sheet:
    """Every field; 'yes' where it differs."""
    runs = [one.run for one in found.runs]
    differing = [
        (path, "yes", *(said(values[run]) for run in runs)) for path, values in found.differing.items()
    ]
    shared = [(path, "no", *(said(value) for _ in runs)) for path, value in found.shared.items()]
    return Sheet(("field", "differs", *runs), tuple(differing + shared))


def _paired(found: Comparison) -> Sheet:
    heads = tuple(Paired.model_fields)
    return Sheet(heads, tuple(tuple(getattr(pair, name) for name in heads) for pair in found.paired))
