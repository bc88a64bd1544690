"""The loss of a recovery on held-out windows over the tokens that it read, and the law of its first points.

While it runs there are points alone. Once it has ended, the law of the first two thirds of them is drawn through these
and, dashed, beyond, so that later points can be compared with the prediction. Of several recoveries (`recoveries`) each
is a line.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from apt_core.base.errors import BadInput
from apt_core.base.words import DASH, count, duration, number, sentence
from apt_core.events.records import RunRecord
from apt_core.measure import power_law
from apt_core.measure.power_law import Fit, Point
from apt_core.plots.chart import Chart, Row, RunLink, RunSet, Sheet, Table
from apt_core.plots.look import NO_POINT
from apt_core.plots.palette import colour
from apt_core.plots.progress_axes import over_progress
from apt_core.plots.run_marks import mark_of
from apt_core.studies.law_curves import points_of
from apt_core.studies.names import names_of
from apt_core.studies.scaling_law import (
    Check,
    check_of,
    check_sentence,
    determined_sentence,
    form_sentence,
)

_BEYOND = 3.0  # times the tokens that were trained on
_DRAWN = 60  # points of a fitted line
_BOOTSTRAPS = 16
_NOTHING = 0.01  # nats: 1% of perplexity, which one run cannot tell from none
_LOSS = {"title": {"text": "held-out loss, nats"}}
_HOVER = "<b>%{fullData.name}</b><br>%{x:,.0f} tokens: loss %{y:.4f}<extra></extra>"


class _Fitted(NamedTuple):
    """check: the law of the first points, held against the rest; whole: that of all points."""

    check: Check | None
    whole: Fit


def applies(runs: RunSet) -> bool:
    """Also before the first point, so that the page has its place."""
    return any("recovered" in run.job.subjects for run in _shown(runs))


def looks(runs: RunSet) -> object:
    return [(run.id, run.status, len(run.steps)) for run in _shown(runs)]


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    """Tokens to the right, loss upwards; the dense model's loss is a line."""
    members = _trained(runs)
    several = len(_shown(runs)) > 1
    plot = go.Figure([_curve(run, runs, place, dark) for place, run in enumerate(members)])
    if not several and members:
        for trace in _law_lines(members[0], dark):
            plot.add_trace(trace)
    if not members:
        plot.add_trace(go.Scatter(name="held-out loss", x=NO_POINT, y=NO_POINT, mode="lines+markers"))
    _dense_line(plot, members, dark)
    revision = "-".join(run.id for run in _shown(runs))
    return over_progress(plot, revision, "tokens trained on", _LOSS, dark)


def title(runs: RunSet) -> str:
    """By how much of the way to the dense model the loss fell, once it has ended."""
    members = _trained(runs)
    if len(_shown(runs)) > 1 or not members or members[0].live:
        return "Loss on held-out windows"
    run = members[0]
    first, last, dense = run.steps[0].held_out, run.steps[-1].held_out, _dense_loss(run)
    if dense is None or first <= dense:
        return f"Held-out loss: {first:.3f} before, {last:.3f} after"
    if abs(first - last) < _NOTHING:
        return f"Held-out loss: {first:.3f} before, {last:.3f} after, too little to speak of"
    back = (first - last) / (first - dense)
    if back <= 0:
        return "Training did not lower the held-out loss"
    if back >= 1:
        return "The held-out loss fell to the dense model's"
    return f"{back:.0%} of what pruning cost came back"


def summary(runs: RunSet) -> str:
    """The chart in words, for those who do not see it."""
    names = names_of(_shown(runs))
    said = [_said(run, names[run.id] if len(names) > 1 else "") for run in _trained(runs)]
    return " ".join(said) or "No step has been trained yet; the loss will be drawn as it falls."


def note(runs: RunSet) -> str:
    """The law, what it does not determine, and how far off its first points were."""
    members = _trained(runs)
    if len(_shown(runs)) > 1 or not members or members[0].live:
        return ""
    found = _law_of(members[0])
    if found is None:
        return "The curve has too few points after the warm-up for a law."
    return " ".join(
        filter(
            None, (form_sentence(found.whole), determined_sentence(found.whole), check_sentence(found.check))
        )
    )


def table(runs: RunSet) -> Table:
    heads = ("run", "step", "tokens", "training loss", "held-out loss", "learning rate", "time")
    names = names_of(_shown(runs))
    rows = tuple(
        Row(
            (
                RunLink(run.id, names[run.id], run.id == runs.marked),
                *(str(one.step), f"{one.tokens:,}", number(one.loss) if one.loss is not None else DASH),
                *(f"{one.held_out:.4f}", f"{one.learning_rate:.2g}", duration(one.seconds)),
            )
        )
        for run in _trained(runs)
        for one in run.steps
    )
    return Table("Loss step by step", heads, rows, "tnnnnnn")


def sheet(runs: RunSet) -> Sheet:
    heads = ("run", "step", "tokens", "loss", "held_out", "learning_rate", "seconds")
    rows = tuple(
        (run.id, one.step, one.tokens, one.loss, one.held_out, one.learning_rate, one.seconds)
        for run in _trained(runs)
        for one in run.steps
    )
    return Sheet(heads, rows)


CHART = Chart(
    name="recovery",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    views=("overview",),
    place=4,
)


def _shown(runs: RunSet) -> tuple[RunRecord, ...]:
    """Of a run's own page that run alone; else the recoveries of the set."""
    if not (runs.compare or runs.study):
        return (runs.shown,)
    return tuple(run for run in runs.members if "recovered" in run.job.subjects)


def _trained(runs: RunSet) -> list[RunRecord]:
    return [run for run in _shown(runs) if run.steps]


def _dense_loss(run: RunRecord) -> float | None:
    return run.training.dense_loss if run.training else None


def _curve(run: RunRecord, runs: RunSet, place: int, dark: bool) -> go.Scatter:
    several = len(_shown(runs)) > 1
    shape, token = mark_of(place) if several else ("circle", "accent")
    shade = colour(token, dark)
    early = len(run.steps)
    if not several and not run.live and (found := _law_of(run)) and found.check:
        early = len(run.steps) - len(found.check.later)
    shapes = [shape if number < early else f"{shape}-open" for number in range(len(run.steps))]
    return go.Scatter(
        uid=run.id,
        name=names_of(_shown(runs))[run.id] if several else "held-out loss",
        x=[one.tokens for one in run.steps],
        y=[one.held_out for one in run.steps],
        mode="lines+markers" if several or run.live else "markers",
        line={"color": shade, "width": 2},
        marker={"color": shade, "symbol": shapes, "size": 7, "line": {"color": shade, "width": 1}},
        hovertemplate=_HOVER,
    )


def _law_lines(run: RunRecord, dark: bool) -> list[go.Scatter]:
    """Solid through the points it was fitted to, dashed where it extrapolates."""
    found = None if run.live else _law_of(run)
    if found is None or found.check is None:
        return []
    fitted, early = found.check.fit, found.check.early
    last = points_of(run)[-1].tokens
    shade = colour("edge", dark)
    inside = np.geomspace(early[0].tokens, early[-1].tokens, _DRAWN)
    beyond = np.geomspace(early[-1].tokens, _BEYOND * last, _DRAWN)
    return [
        _line(fitted, early[0], inside, "law of the first two thirds", {"color": shade, "width": 2}),
        _line(fitted, early[0], beyond, "extrapolated", {"color": shade, "width": 2, "dash": "dash"}),
    ]


def _line(fitted: Fit, like: Point, tokens: Any, name: str, line: dict[str, Any]) -> go.Scatter:
    return go.Scatter(
        uid=name,
        name=name,
        x=list(map(float, tokens)),
        y=[fitted.at(like, float(one)) for one in tokens],
        mode="lines",
        line=line,
        hovertemplate=_HOVER,
    )


def _dense_line(plot: go.Figure, members: list[RunRecord], dark: bool) -> None:
    losses = {round(loss, 6) for run in members if (loss := _dense_loss(run)) is not None}
    for loss in sorted(losses):
        plot.add_hline(
            y=loss,
            line={"color": colour("dense", dark), "width": 2, "dash": "dot"},
            annotation={
                "text": f"dense {loss:.3f}",
                "font": {"color": colour("dense", dark)},
                "xanchor": "right",
            },
        )


def _said(run: RunRecord, name: str) -> str:
    first, last, dense = run.steps[0], run.steps[-1], _dense_loss(run)
    against = f" The dense model has {dense:.4f}." if dense is not None else ""
    begin = f"{name}: held-out loss" if name else "Held-out loss"
    fell = f"{begin} {first.held_out:.4f} at the start, {last.held_out:.4f} after {count(last.tokens)} tokens"
    return f"{sentence(f'{fell} in {last.step} steps')}{against}"


def _law_of(run: RunRecord) -> _Fitted | None:
    """None where the curve is too short."""
    return _fitted(tuple(points_of(run)))


@lru_cache(maxsize=64)  # title, figure, note and table ask for the same one
def _fitted(points: tuple[Point, ...]) -> _Fitted | None:
    try:
        return _Fitted(check_of([points]), power_law.fit(points, bootstraps=_BOOTSTRAPS))
    except BadInput:
        return None
