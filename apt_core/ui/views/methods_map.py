"""A map of everything that can be done to a model here: five groups, each with what goes, what it needs and gives.

Which group a method is in follows from what it is made of, so that a new method is grouped without a change here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.words import DASH, duration, number, percent, times
from apt_core.estimate.rates import packaged_rates, solving_seconds
from apt_core.methods import METHODS, STRUCTURED, Method, StructuredMethod
from apt_core.methods.component import Component, Named, Statistic
from apt_core.methods.recovery.base import Recovery
from apt_core.methods.registry import RECOVERIES
from apt_core.methods.searching.evolution import Evolution
from apt_core.models.catalogue.entries import CATALOGUE, DEFAULT_MODEL
from apt_core.reports import measured
from apt_core.reports.measured import Outcome
from apt_core.studies import scaling_law
from apt_core.ui.views.html import Markup, join

HALF, TWO_OF_FOUR = Unstructured(sparsity=0.5), SemiStructured(keep=2, of=4)
_PACKED = "Zeros: packed, 9/16 of the bytes at 50% and 35/64 at 2:4; not faster by themselves, 2:4 on hardware for it."


class Group(NamedTuple):
    """One part of the map. holds: whether a method belongs there."""

    name: str
    title: str
    says: str
    gives: str
    holds: Callable[[type[Named]], bool]


class Line(NamedTuple):
    """A method in the map. tried: what its button asks for, as an attribute of HTML; measured: what it came to."""

    name: str
    title: str
    removes: str
    needs: str
    takes: str
    tried: Markup
    measured: Markup


def _weights(reads_text: bool, moves: bool | None = None) -> Callable[[type[Named]], bool]:
    """Of the methods that set single weights to zero: those that read a text or not, and (None: either) those in which
    the weights that stay move or not."""

    def holds(kind: type[Named]) -> bool:
        if not issubclass(kind, Method):
            return False
        method = kind()
        alike = moves is None or (method.reconstruction.name != "none") is moves
        return alike and bool(method.needs_for(HALF)) is reads_text

    return holds


GROUPS = (
    Group(
        "plain",
        "Weights, by their size alone",
        "No text and no time: the smallest weights go. What everything else is measured against.",
        _PACKED,
        _weights(reads_text=False),
    ),
    Group(
        "chosen",
        "Weights, chosen by a text",
        "A calibration text says which weights matter; those that stay are left as they are. Fast.",
        _PACKED,
        _weights(reads_text=True, moves=False),
    ),
    Group(
        "compensated",
        "Weights, and the rest compensates for them",
        "The weights that stay move to where they make up best for those that go. The most accurate without training.",
        _PACKED,
        _weights(reads_text=True, moves=True),
    ),
    Group(
        "structures",
        "Heads, channels, whole blocks",
        "Structures go, and the model is smaller as it is; it loses more than single weights would cost.",
        "A smaller model without any special format. Its speed is given where the difference is larger than the noise.",
        lambda kind: issubclass(kind, StructuredMethod | Evolution),
    ),
    Group(
        "recovery",
        "Training what was pruned",
        "Afterwards: a part of the pruned model is trained, and every zero stays zero. Below any finished run.",
        "A better model of the same size.",
        lambda kind: issubclass(kind, Recovery),
    ),
)


def group_of(kind: type[Named]) -> Group:
    """The first group that holds a method."""
    return next(group for group in GROUPS if group.holds(kind))


def members(group: Group) -> list[type[Named]]:
    kinds: Iterable[type[Named]] = (
        *METHODS.values(),
        *STRUCTURED.values(),
        Evolution,
        *RECOVERIES.values(),
    )
    return [kind for kind in kinds if group_of(kind) is group]


def line_of(kind: type[Named]) -> Line:
    if issubclass(kind, Recovery):
        dense = ", and the dense model" if kind.needs_dense else ""
        return _line(kind, "nothing more", f"training{dense}", kind.takes)
    if issubclass(kind, StructuredMethod | Evolution):
        removes = f"{kind.removes}; {kind.leaves}" if kind.leaves else kind.removes
        return _line(kind, removes, _needs_of_structures(kind()), kind.takes)
    if issubclass(kind, Method):
        return _line(kind, "single weights", _needs(kind()), _seconds(kind))
    raise TypeError(f"{kind.__name__} is of no group")


def _line(kind: type[Named], removes: str, needs: str, takes: str) -> Line:
    outcomes = outcomes_of(measured.load().of(kind.name))
    return Line(kind.name, kind.title, removes, needs, takes, tried(kind), outcomes)


LAW = Line(
    scaling_law.NAME,
    scaling_law.TITLE,
    "nothing: it predicts",
    "curves of recoveries",
    "seconds",
    Markup('data-try="law:{}"').format(scaling_law.NAME),
    Markup(DASH),
)


def lines_of(group: Group) -> list[Line]:
    """Of every method; where there is training its law too."""
    lines = [line_of(kind) for kind in members(group)]
    return [*lines, LAW] if group.name == "recovery" else lines


def tried(kind: type[Named]) -> Markup:
    """What a button that tries this asks for: a method of the list by its name, any other by its place too."""
    if issubclass(kind, Method | StructuredMethod):
        return Markup('data-try-method="{}"').format(kind.name)
    if issubclass(kind, Component):
        return Markup('data-try="{}:{}"').format(kind.slot, kind.name)
    place = "recovery" if issubclass(kind, Recovery) else "search"
    return Markup('data-try="{}:{}"').format(place, kind.name)


def _needs(method: Method) -> str:
    return said_of(method.needs_for(HALF))


def said_of(needs: frozenset[Statistic]) -> str:
    """What has to be there, in words, so that these statistics can be collected."""
    if not needs:
        return "nothing"
    if needs == {Statistic.DENSE_WEIGHTS}:
        return "the dense weights alone"
    return "a text and gradients" if Statistic.OUTPUT_GRADIENTS in needs else "a text"


def _needs_of_structures(method: StructuredMethod | Evolution) -> str:
    if not method.reads_text:
        return "nothing"
    return "a text and gradients" if method.takes_gradients else "a text"


def _seconds(method: type[Method]) -> str:
    """Time to solve all layers of the usual model, by the packaged rates: 50%, then 2:4."""
    entry, rates = CATALOGUE[DEFAULT_MODEL], packaged_rates()
    both = [
        solving_seconds(method(), entry.shape.layers, pattern, rates) * entry.shape.blocks
        for pattern in (HALF, TWO_OF_FOUR)
    ]
    return " / ".join(duration(round(seconds)) for seconds in both)


def map_of(group: Group, articles: Markup) -> Markup:
    """A group folded: its lines, then what each of its methods is in full."""
    return Markup(
        '<details class="map-group" id="group-{}"><summary><span class="map-title">{}</span> '
        '<span class="map-count">{}</span><span class="map-says">{}</span></summary>'
        '<p class="quiet">{}</p>{}{}</details>'
    ).format(group.name, group.title, _named(group), group.says, group.gives, _table(group), articles)


def _named(group: Group) -> str:
    return ", ".join(kind.title for kind in members(group))


def _table(group: Group) -> Markup:
    weights = all(issubclass(kind, Method) for kind in members(group))
    takes = "solves in (50% / 2:4)" if weights else "takes"
    heads = ("method", "what goes", "needs", takes, "perplexity, times dense", "")
    rows = join(_row(line) for line in lines_of(group))
    return table_of(f"Methods: {group.title}", heads, rows) + _conditions(group)


def table_of(caption: str, heads: Sequence[str], rows: Markup) -> Markup:
    """A table that scrolls inside itself, of rows that are drawn already."""
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table class="map"><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(caption, join(Markup('<th scope="col">{}</th>').format(head) for head in heads), rows)


def _conditions(group: Group) -> Markup:
    """What the figures of a group were measured on, where there are any."""
    found = [one for kind in members(group) for one in measured.load().of(kind.name)]
    perplexities, speeds = measured.load().conditions
    said = [perplexities] * bool(found) + [speeds] * any(one.size is not None for one in found)
    return Markup('<p class="quiet measured">{}</p>').format(" ".join(said)) if said else Markup("")


def outcomes_of(found: Sequence[Outcome]) -> Markup:
    return join((_outcome(one) for one in found), Markup("<br>")) if found else Markup(DASH)


def _outcome(one: Outcome) -> Markup:
    """'2:4: 3.13 times', the interval where one points at it; of structures what they save too."""
    interval = f"95% interval {number(one.low)} to {number(one.high)}"
    began = f"from {times(one.before)} to " if one.before is not None else ""
    said = Markup('{}: {}<span title="{}">{}</span>').format(
        one.setting, began, interval, times(one.perplexity)
    )
    saved = [f"{percent(one.size)} of the bytes"] if one.size is not None else []
    told = ", ".join([*saved, *_speeds(one)])
    return said + Markup("; {}").format(told) if told else said


def _speeds(one: Outcome) -> list[str]:
    """How many times as fast as the dense model; and where that was measured in vain."""
    told = [f"{times(one.speed)} tokens/s"] if one.speed is not None else []
    told += [f"{times(one.prefill)} tokens/s of a prompt"] if one.prefill is not None else []
    untold = f"no measurable difference in {'written ' if told else ''}tokens/s"
    return [*told, untold] if one.timed and one.speed is None else told


def _row(line: Line) -> Markup:
    cells = "<td>{}</td>" * 5
    return Markup(f'<tr><th scope="row"><a href="#method-{{}}">{{}}</a></th>{cells}</tr>').format(
        *(line.name, line.title, line.removes, line.needs, line.takes),
        *(line.measured, try_button(line.title, line.tried)),
    )


def try_button(title: str, tried: Markup) -> Markup:
    return Markup('<button type="button" class="quiet-button" {} aria-label="Try {}">Try it</button>').format(
        tried, title
    )
