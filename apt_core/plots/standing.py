"""How a race stands: perplexity of every method with its 95% interval, the best first."""

from __future__ import annotations

from itertools import takewhile

import plotly.graph_objects as go

from apt_core.base.words import number, tally
from apt_core.events.records import RunRecord
from apt_core.plots import perplexities
from apt_core.plots.chart import Chart, RunSet, Sheet, Table
from apt_core.plots.findings import SIGNIFICANT, differ
from apt_core.studies.paired import differs_surely, shared_losses
from apt_core.studies.race import Race, race_of


def applies(runs: RunSet) -> bool:
    found = _race(runs)
    return found is not None and len(found.ranking) > 1


def looks(runs: RunSet) -> object:
    return perplexities.looks(_ranked(runs)), _waited_for(runs)


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    return perplexities.figure(_ranked(runs), dark)


def title(runs: RunSet) -> str:
    """Who leads, or which of them tie: a lead within noise does not count."""
    if waited := _waited_for(runs):
        return (
            f"The race so far; {tally(waited)} {'method is' if waited == 1 else 'methods are'} still to come"
        )
    best, *others = _ranked(runs).members
    tied = [best, *takewhile(lambda other: not _apart(best, other), others)]
    if len(tied) == 1:
        return f"{_named(best)} leads; next is {_named(others[0])}"
    return f"A tie within noise: {', '.join(map(_named, tied[:-1]))} and {_named(tied[-1])}"


def summary(runs: RunSet) -> str:
    return perplexities.summary(_ranked(runs))


def note(runs: RunSet) -> str:
    return (
        "The lowest perplexity comes first. Methods tie where the differences of their losses, window by window, are "
        "within chance (Student's paired t, p < 0.01); the intervals hold for each run alone."
    )


def table(runs: RunSet) -> Table:
    return perplexities.table(_ranked(runs))


def sheet(runs: RunSet) -> Sheet:
    return perplexities.sheet(_ranked(runs))


CHART = Chart(
    name="standing",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    views=("overview",),
    place=3,  # the race's own chart names the rivals and goes on watching them
)


def _race(runs: RunSet) -> Race | None:
    return race_of(runs.shown, runs.others)


def _ranked(runs: RunSet) -> RunSet:
    """The runs of the race whose perplexity is known, the best first."""
    found = _race(runs)
    best, *others = found.ranking if found else [runs.shown]
    return RunSet(best, tuple(others), compare=True)


def _waited_for(runs: RunSet) -> int:
    """How many methods are not measured yet, and will be."""
    found = _race(runs)
    return sum(member.live and member.pruned is None for member in found.members) if found else 0


def _apart(best: RunRecord, other: RunRecord) -> bool:
    """Whether the windows show that one is better; by both intervals where the windows were not kept."""
    assert best.pruned is not None and other.pruned is not None  # they are ranked
    losses = shared_losses(best, other, best.pruned.text)
    if losses is None:
        return differ(best.pruned, other.pruned)
    return differs_surely(*losses, significance=SIGNIFICANT)


def _named(run: RunRecord) -> str:
    return f"{run.pruning.method.label} ({number(run.pruned.perplexity if run.pruned else None)})"
