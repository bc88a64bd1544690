"""What compared runs cost and what they give: the fronts of Pareto that a sweep has, of runs of any studies."""

from __future__ import annotations

from apt_core.plots import pareto
from apt_core.plots.chart import Chart

CHART = Chart(
    name="costs",
    applies=pareto.applies,
    looks=pareto.looks,
    title=pareto.title,
    figure=pareto.figure,
    summary=pareto.summary,
    table=pareto.table,
    sheet=pareto.sheet,
    note=pareto.note,
    place=15,
    of_run=False,
    of_set=True,
)
