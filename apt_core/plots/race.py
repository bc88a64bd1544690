"""Methods against one another: x = block, y = mean relative error of its layers (log), one line per run."""

from __future__ import annotations

import plotly.graph_objects as go

from apt_core.base.words import DASH, STATUS_WORDS, duration, number, tally, times
from apt_core.events.records import RunRecord
from apt_core.methods import METHODS, Statistic
from apt_core.plots.block_axes import over_blocks
from apt_core.plots.block_curves import Stroke, block_curve, room_for_names
from apt_core.plots.chart import Chart, Row, RunLink, RunSet, Sheet, Table
from apt_core.plots.findings import differ
from apt_core.plots.run_marks import COLOURS, SHAPES
from apt_core.runs.ids import is_run_id
from apt_core.studies.race import Race, pruned_whole, race_of, whole_blocks

_SHOWN, _OTHER = Stroke(width=3.5, mark=10), Stroke(width=1.5, mark=8)
_FAIR = (
    "Every method is given the same windows of the same text. Each sees what its own pruned layers hand on, so "
    "statistics cannot be shared beyond the first layer of the first block."
)


def applies(runs: RunSet) -> bool:
    return _race(runs) is not None


def looks(runs: RunSet) -> object:
    """Another value whenever a run came or went, turned, finished a block or was measured."""
    return [
        (member.id, member.status, len(whole_blocks(member)), member.dense, member.pruned)
        for member in _members(runs)
    ]


def rivals(runs: RunSet) -> tuple[RunRecord, ...]:
    return tuple(member for member in _members(runs) if member.id != runs.shown.id)


def figure(runs: RunSet, dark: bool = False) -> go.Figure:
    """What is known so far; blocks that are not done yet have no point."""
    race = _known_race(runs)
    curves = {member.id: whole_blocks(member) for member in race.members}
    slots = marks(race)
    plot = go.Figure(
        [
            block_curve(
                member.id,
                _name(member),
                curves[member.id],
                slots[member.id],
                _SHOWN if member.id == race.id else _OTHER,
                dark,
            )
            for member in race.members
        ]
    )
    errors = [error for curve in curves.values() for error in curve.values()]
    depth = max((member.model.blocks for member in race.members if member.model), default=0)
    over_blocks(plot, race.id, depth, errors, dark)
    return plot.update_layout(meta=room_for_names(len(race.members), fit=3))


def title(runs: RunSet) -> str:
    """The finding once all runs have ended, a plain name before."""
    race = _known_race(runs)
    ranking = race.ranking
    if race.live or len(ranking) < 2:
        return f"Race of {tally(len(race.members))} methods"
    first, second = ranking[:2]
    best, next_best = (
        number(member.pruned.perplexity if member.pruned else None) for member in (first, second)
    )
    if best == next_best:
        return f"{first.pruning.method.label} and {second.pruning.method.label} are level at {best}"
    if first.pruned and second.pruned and not differ(first.pruned, second.pruned):
        return (
            f"No clear lead: {first.pruning.method.label} {best}, {second.pruning.method.label} {next_best}"
        )
    return f"{first.pruning.method.label} leads: {best} against {next_best} ({second.pruning.method.label})"


def summary(runs: RunSet) -> str:
    """The chart in words, for those who do not see it."""
    said = " ".join(_said(member) for member in _members(runs))
    return f"Mean relative error of the layers of each block; lower is better. {said}"


def note(runs: RunSet) -> str:
    """What is the same for all of them and what is not."""
    return " ".join([_FAIR, *_dense_askers(_members(runs))])


def table(runs: RunSet) -> Table:
    """One row for every run; a number that does not compare yet is a dash."""
    heads = ("method", "status", "mean relative error", "perplexity", "ratio to dense", "time of pruning")
    rows = tuple(_row(member, member.id == runs.shown.id) for member in _members(runs))
    return Table("Methods given the same task", heads, rows, "ttnnnn")


def sheet(runs: RunSet) -> Sheet:
    heads = ("run", "method", "status", "perplexity", "block", "mean_relative_error")
    rows = tuple(
        (member.id, member.pruning.method.label, member.status, _known(member), block, error)
        for member in _members(runs)
        for block, error in whole_blocks(member).items()
    )
    return Sheet(heads, rows)


CHART = Chart(
    name="race",
    applies=applies,
    looks=looks,
    title=title,
    figure=figure,
    summary=summary,
    table=table,
    sheet=sheet,
    note=note,
    rivals=rivals,
    views=("others",),
    place=30,
)


def _race(runs: RunSet) -> Race | None:
    return race_of(runs.shown, runs.others)


def _known_race(runs: RunSet) -> Race:
    """Of runs to which this chart applies."""
    if (race := _race(runs)) is None:
        raise ValueError(f"Run {runs.shown.id} takes part in no race.")
    return race


def _members(runs: RunSet) -> tuple[RunRecord, ...]:
    race = _race(runs)
    return race.members if race else ()


def _known(member: RunRecord) -> float | str:
    return member.pruned.perplexity if member.pruned else ""


def _row(member: RunRecord, shown: bool) -> Row:
    finished = member.finished
    return Row(
        (
            RunLink(member.id, member.pruning.method.label, shown),
            STATUS_WORDS[member.status] if is_run_id(member.id) else "recorded sample",
            number(member.mean_relative_error) if pruned_whole(member) else DASH,
            number(member.pruned.perplexity) if member.pruned else DASH,
            times(member.ratio),
            duration(finished.seconds.get("prune")) if finished else DASH,
        )
    )


def _dense_askers(members: tuple[RunRecord, ...]) -> list[str]:
    """The yardstick of methods that aim at something else than their own inputs."""
    dense = {Statistic.DENSE_STREAM, Statistic.OUTPUT_GRADIENTS}
    jobs = [member.pruning for member in members]
    asking = [job.method.label for job in jobs if job.method.needs_for(job.pattern) & dense]
    if not asking:
        return []
    return [
        f"{' and '.join(asking)} also aims at the dense model; the error is measured by the same yardstick: against "
        "the dense weights, on that run's own inputs."
    ]


def marks(race: Race) -> dict[str, tuple[str, str]]:
    """Run -> (marker shape, colour token): those of its method, or the next that no run of this race has."""
    taken_shapes: list[str] = []
    taken_colours: list[str] = []
    for member in race.members:
        place = list(METHODS).index(member.pruning.method.name)
        taken_shapes.append(_free(SHAPES, place, taken_shapes))
        taken_colours.append(_free(COLOURS, place, taken_colours))
    slots = zip(taken_shapes, taken_colours, strict=True)
    return {member.id: slot for member, slot in zip(race.members, slots, strict=True)}


def _free(pool: tuple[str, ...], place: int, taken: list[str]) -> str:
    """The entry at `place`, or the first free one after it; the entry itself when none is free."""
    turned = [pool[(place + step) % len(pool)] for step in range(len(pool))]
    return next((entry for entry in turned if entry not in taken), turned[0])


def _name(member: RunRecord) -> str:
    """'APT joint · 29.8', without the perplexity as long as it is not known."""
    label = member.pruning.method.label
    return f"{label} · {number(member.pruned.perplexity)}" if member.pruned else label


def _said(member: RunRecord) -> str:
    label = member.pruning.method.label
    if member.pruned:
        mean = number(member.mean_relative_error)
        return f"{label}: mean {mean}, perplexity {number(member.pruned.perplexity)}."
    if pruned_whole(member) or not member.model:
        return f"{label}: {STATUS_WORDS[member.status]}."
    return f"{label}: {len(whole_blocks(member))} of {member.model.blocks} blocks."
