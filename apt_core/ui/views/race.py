"""The race in words: who else takes part, how fair it is, and the same numbers as a table."""

from __future__ import annotations

from apt_core.base.words import DASH, STATUS_WORDS, duration, number, times
from apt_core.events.records import RunRecord
from apt_core.runs.ids import is_run_id
from apt_core.studies.race import Race, pruned_whole
from apt_core.ui.views.html import Markup, join, table

_FAIR = (
    "Every method is given the same windows of the same text. Each sees what its own pruned layers hand on, so "
    "statistics cannot be shared beyond the first layer of the first block."
)
_HEADS = ("method", "status", "mean relative error", "perplexity", "ratio to dense", "time of pruning")


def race_note(race: Race) -> Markup:
    """Links to the rivals, and what is the same for all of them and what is not."""
    links = join(_link(member) for member in race.members if member.id != race.id)
    return Markup(
        '<nav class="rivals" aria-label="Rivals"><span>Open</span>{}</nav><p class="honest quiet">{}</p>'
    ).format(links, " ".join([_FAIR, *_dense_askers(race)]))


def race_table(race: Race) -> Markup:
    """One row for every run; a number that does not compare yet is a dash."""
    rows = [_row(member, member.id == race.id) for member in race.members]
    return table(_HEADS, rows, "Methods given the same task", "ttnnnn")


def _row(member: RunRecord, shown: bool) -> tuple[str, ...]:
    finished = member.finished
    return (
        Markup("<strong>{}</strong> (shown)").format(_link(member)) if shown else _link(member),
        STATUS_WORDS[member.status] if is_run_id(member.id) else "recorded sample",
        number(member.mean_relative_error) if pruned_whole(member) else DASH,
        number(member.pruned.perplexity) if member.pruned else DASH,
        times(member.ratio),
        duration(finished.seconds.get("prune")) if finished else DASH,
    )


def _link(member: RunRecord) -> Markup:
    """Opens the run in this tab, without loading the page again; a recorded sample by its address."""
    here = Markup('data-action="open" data-run="{}"').format(member.id) if is_run_id(member.id) else ""
    return Markup('<a href="?run={}" {}>{}</a>').format(member.id, here, member.job.method.label)


def _dense_askers(race: Race) -> list[str]:
    """The yardstick of methods that aim at something else than their own inputs."""
    methods = [member.job.method for member in race.members]
    asking = [method.label for method in methods if method.compares_with_dense or method.asks_the_loss]
    if not asking:
        return []
    return [
        f"Beside these, {' and '.join(asking)} asks the dense model too; the error is measured by the same yardstick "
        "all the same: against the dense weights, on that run's own inputs."
    ]
