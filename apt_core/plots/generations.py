"""The population of a search over its generations, on the held-out windows, and the best so far."""

from __future__ import annotations

import plotly.graph_objects as go

from apt_core.base.words import count, duration, number, percent, tally
from apt_core.events import Candidate, Generation
from apt_core.plots.chart import Chart, Row, RunSet, Sheet, Table
from apt_core.plots.look import NO_POINT
from apt_core.plots.palette import colour
from apt_core.plots.progress_axes import over_progress
from apt_core.studies.search_gain import gain_sentence

_PERPLEXITY = {"title": {"text": "perplexity, held-out windows"}, "type": "log", "tickformat": ".3~g"}
_HOVER = "<b>generation %{x}</b>: perplexity %{y:.4g}<br>%{customdata}<extra></extra>"
_MOST_DRAWN = 40  # generations whose whole population is drawn
_NOTHING = 0.001  # of the perplexity, below which the best is called no lower


def applies(runs: RunSet) -> bool:
    """Also before the first generation, so that the page has its place."""
    return "start" in runs.shown.job.subjects


def looks(runs: RunSet) -> object:
    return runs.shown.status, len(runs.shown.generations), runs.shown.last_seq if runs.shown.start else 0


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    """Every candidate that went on is a point; the lines are the best so far, and the uniform widths."""
    found = runs.shown.generations
    plot = go.Figure([_population(found, dark), _start(found, dark), _best(found, dark)])
    return over_progress(plot, runs.shown.id, "generation", _PERPLEXITY, dark)


def title(runs: RunSet) -> str:
    """By how much the best is lower than where the search began, once there is a generation after the first."""
    found = runs.shown.generations
    if len(found) < 2:
        return "Candidates on the held-out windows"
    start, best = found[0].start.perplexity, found[-1].best.perplexity
    if best is None or start is None:
        return "No candidate predicts anything"
    if best > start * (1 - _NOTHING):
        return f"Nothing better than uniform widths in {_generations(found[-1].number)}"
    return (
        f"The best of {count(found[-1].tried)} candidates is {percent(1 - best / start)} below uniform widths"
    )


def summary(runs: RunSet) -> str:
    """The chart in words, for those who do not see it."""
    found = runs.shown.generations
    if not found:
        return "No candidate has been tried yet; each generation will be drawn as it ends."
    last = found[-1]
    return (
        f"After {_generations(last.number)} and {count(last.tried)} candidates the best has a perplexity of "
        f"{number(last.best.perplexity)} on the held-out windows ({_said(last.best)}); the uniform widths that the "
        f"search began with have {number(last.start.perplexity)} ({_said(last.start)})."
    )


def note(runs: RunSet) -> str:
    """What was compared, and whether anything was gained on the text that nothing was chosen by."""
    record = runs.shown
    if record.search is None:
        return ""
    began = record.search
    state = "before compensation" if began.judge == "masked" else "once compensated"
    how = (
        f"Candidates keep {percent(began.keep)} of the blocks' weights within {percent(began.tolerance)}, and are "
        f"compared {state}, on {began.windows} windows of the calibration text that are held out; the "
        f"dense model has {number(began.dense)} there. Widths are the same in every block, so that plain transformers "
        "loads the result."
    )
    return " ".join(filter(None, (how, gain_sentence(record))))


def table(runs: RunSet) -> Table:
    heads = (
        "generation",
        "tried",
        "best perplexity",
        "blocks",
        "heads",
        "MLP width",
        "weights",
        "median",
        "time",
    )
    rows = tuple(
        Row(
            (
                *(str(one.number), f"{one.tried:,}", number(one.best.perplexity), str(one.best.blocks)),
                *(str(one.best.heads), f"{one.best.channels:,}", count(one.best.parameters)),
                *(number(_median(one)), duration(one.seconds)),
            )
        )
        for one in runs.shown.generations
    )
    return Table("The best of each generation", heads, rows, "nnnnnnnnn")


def sheet(runs: RunSet) -> Sheet:
    """Every candidate of every generation."""
    heads = (
        "generation",
        "rank",
        "perplexity",
        "parameters",
        "blocks",
        "heads",
        "channels",
        "tried",
        "seconds",
    )
    rows = tuple(
        (
            *(one.number, rank, candidate.perplexity, candidate.parameters, candidate.blocks),
            *(candidate.heads, candidate.channels, one.tried, one.seconds),
        )
        for one in runs.shown.generations
        for rank, candidate in enumerate(one.population, 1)
    )
    return Sheet(heads, rows)


CHART = Chart(
    name="generations",
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


def _population(found: tuple[Generation, ...], dark: bool) -> go.Scatter:
    """Of a long search some generations alone, the first and the last among them."""
    every = max(1, -(-len(found) // _MOST_DRAWN))
    drawn = [one for place, one in enumerate(found) if place % every == 0 or one is found[-1]]
    points = [(one.number, candidate) for one in drawn for candidate in one.population]
    points = [(number_, candidate) for number_, candidate in points if candidate.perplexity is not None]
    return go.Scatter(
        uid="population",
        name="population",
        x=[number_ for number_, _ in points] or NO_POINT,
        y=[candidate.perplexity for _, candidate in points] or NO_POINT,
        customdata=[_said(candidate) for _, candidate in points],
        mode="markers",
        marker={"color": colour("edge", dark), "size": 6, "opacity": 0.6},
        hovertemplate=_HOVER,
    )


def _start(found: tuple[Generation, ...], dark: bool) -> go.Scatter:
    """What the search began with, from the first generation to the last."""
    known = [one for one in found if one.start.perplexity is not None]
    return go.Scatter(
        uid="start",
        name="uniform widths",
        x=[one.number for one in known] or NO_POINT,
        y=[one.start.perplexity for one in known] or NO_POINT,
        customdata=[_said(one.start) for one in known],
        mode="lines",
        line={"color": colour("muted", dark), "width": 2, "dash": "dot"},
        hovertemplate=_HOVER,
    )


def _best(found: tuple[Generation, ...], dark: bool) -> go.Scatter:
    return go.Scatter(
        uid="best",
        name="best so far",
        x=[one.number for one in found] or NO_POINT,
        y=[one.best.perplexity for one in found] or NO_POINT,
        customdata=[_said(one.best) for one in found],
        mode="lines+markers",
        line={"color": colour("pruned", dark), "width": 2, "shape": "hv"},
        marker={"color": colour("pruned", dark), "size": 8, "symbol": "diamond"},
        hovertemplate=_HOVER,
    )


def _generations(number_: int) -> str:
    return f"{tally(number_)} generation{'' if number_ == 1 else 's'}"


def _median(one: Generation) -> float | None:
    known = sorted(member.perplexity for member in one.population if member.perplexity is not None)
    return known[len(known) // 2] if known else None


def _said(candidate: Candidate) -> str:
    """'28 blocks, 9 heads, MLP width 1,200'"""
    return f"{candidate.blocks} blocks, {candidate.heads} heads, MLP width {candidate.channels:,}"
