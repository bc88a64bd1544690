"""Methods against one another: x = block, y = mean relative error of its layers (log), one line per run."""

from __future__ import annotations

import plotly.graph_objects as go

from apt_core.base.words import STATUS_WORDS, number, tally
from apt_core.events.records import RunRecord
from apt_core.methods import METHODS
from apt_core.plots.block_axes import over_blocks
from apt_core.plots.palette import colour
from apt_core.studies.race import Race, pruned_whole, whole_blocks

_SHAPES = (
    *("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "x", "star"),
    *("hexagon", "cross", "bowtie", "hourglass", "circle-open", "square-open", "diamond-open", "star-open"),
)
_COLOURS = tuple(f"mark-{place}" for place in range(1, 9))
_A_NAME = 20  # pixels that a name takes above the plot on a narrow screen, where each has a line to itself
_HOVER = "<b>%{fullData.name}</b><br>block %{x}: mean relative error %{customdata}<extra></extra>"


def figure(race: Race, dark: bool = False) -> go.Figure:
    """What is known so far; blocks that are not done yet have no point."""
    curves = {member.id: whole_blocks(member) for member in race.members}
    slots = marks(race)
    plot = go.Figure(
        [
            _trace(member, curves[member.id], slots[member.id], member.id == race.id, dark)
            for member in race.members
        ]
    )
    errors = [error for curve in curves.values() for error in curve.values()]
    depth = max((member.model.blocks for member in race.members if member.model), default=0)
    over_blocks(plot, race.id, depth, errors, dark)
    return plot.update_layout(meta={"narrowHeight": 360 + _A_NAME * max(0, len(race.members) - 3)})


def title(race: Race) -> str:
    """The finding once nobody runs any more, a plain name before."""
    ranking = race.ranking
    if race.live or len(ranking) < 2:
        return f"Race of {tally(len(race.members))} methods"
    first, second = ranking[:2]
    best, next_best = number(first.pruned.perplexity), number(second.pruned.perplexity)
    if best == next_best:
        return f"{first.job.method.label} and {second.job.method.label} are level at {best}"
    return f"{first.job.method.label} leads: {best} against {next_best} ({second.job.method.label})"


def summary(race: Race) -> str:
    """The chart in words, for those who do not see it."""
    said = " ".join(_said(member) for member in race.members)
    return f"Mean relative error of the layers of each block; lower is better. {said}"


def marks(race: Race) -> dict[str, tuple[str, str]]:
    """Run -> (marker shape, colour token): those of its method, or the next that nobody of this race has."""
    taken_shapes: list[str] = []
    taken_colours: list[str] = []
    for member in race.members:
        place = list(METHODS).index(member.job.method.name)
        taken_shapes.append(_free(_SHAPES, place, taken_shapes))
        taken_colours.append(_free(_COLOURS, place, taken_colours))
    slots = zip(taken_shapes, taken_colours, strict=True)
    return {member.id: slot for member, slot in zip(race.members, slots, strict=True)}


def _free(pool: tuple[str, ...], place: int, taken: list[str]) -> str:
    """The entry at `place`, or the first free one after it; the entry itself when none is free."""
    turned = [pool[(place + step) % len(pool)] for step in range(len(pool))]
    return next((entry for entry in turned if entry not in taken), turned[0])


def _trace(
    member: RunRecord, curve: dict[int, float], slot: tuple[str, str], shown: bool, dark: bool
) -> go.Scatter:
    shape, token = slot
    shade = colour(token, dark)
    return go.Scatter(
        uid=member.id,  # a rival that comes or goes leaves the others hidden or shown as they are
        name=_name(member),
        x=list(curve) or [None],
        y=[error or None for error in curve.values()] or [None],  # no logarithm of an exact zero
        mode="lines+markers",
        line={"color": shade, "width": 3.5 if shown else 1.5},
        marker={
            "color": shade,
            "symbol": shape,
            "size": 10 if shown else 8,
            "line": {"color": shade, "width": 1},
        },
        customdata=[number(error) for error in curve.values()],
        hovertemplate=_HOVER,
    )


def _name(member: RunRecord) -> str:
    """'APT joint · 29.8', without the perplexity as long as it is not known."""
    label = member.job.method.label
    return f"{label} · {number(member.pruned.perplexity)}" if member.pruned else label


def _said(member: RunRecord) -> str:
    label = member.job.method.label
    if member.pruned:
        mean = number(member.mean_relative_error)
        return f"{label}: mean {mean}, perplexity {number(member.pruned.perplexity)}."
    if pruned_whole(member) or not member.model:
        return f"{label}: {STATUS_WORDS[member.status]}."
    return f"{label}: {len(whole_blocks(member))} of {member.model.blocks} blocks."
