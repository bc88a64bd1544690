"""Structures that can only go as a whole: rows of some projections and the columns that read them. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from apt_core.base.errors import BadInput
from apt_core.families.family import Family, Side
from apt_core.families.known import FAMILIES

Unit = Literal["heads", "channels"]


class Span(NamedTuple):
    """Group g of a member is the `each` places from first + g x each on."""

    first: int
    each: int


class Member(NamedTuple):
    """A projection's rows (or columns) that belong to the groups, one stretch for each projection that it holds."""

    layer: str
    along: Literal["rows", "columns"]
    spans: tuple[Span, ...]

    def places(self, groups: Iterable[int]) -> tuple[int, ...]:
        """The rows (or columns) of these groups, ascending."""
        chosen = sorted(groups)
        return tuple(
            span.first + group * span.each + inner
            for span in self.spans
            for group in chosen
            for inner in range(span.each)
        )


class Structure(NamedTuple):
    """`groups` alike in every block. Of heads, a group is a key-value head with its query heads."""

    unit: Unit
    groups: int
    members: tuple[Member, ...]
    heads_each: int = 0  # query heads of a group
    head_width: int = 0

    def weights_each(self, shapes: Mapping[str, tuple[int, int]]) -> int:
        """Weights that go with one group. shapes: [out, in] of the layers of a block."""
        return sum(
            sum(span.each for span in member.spans) * shapes[member.layer][member.along == "rows"]
            for member in self.members
        )


def structures_of(
    family: Family | None, shapes: Mapping[str, tuple[int, int]], config: Mapping[str, Any]
) -> tuple[Structure, ...]:
    """The coupled structures of a block, channels last; none where the family's blocks have none.

    config: what config.json says of the text model, with what transformers works out itself.
    """
    if family is None:
        return ()
    found = [_structure(side, shapes, config) for side in family.coupled if side.layers <= shapes.keys()]
    return tuple(one for one in found if one is not None)


def _structure(
    side: Side, shapes: Mapping[str, tuple[int, int]], config: Mapping[str, Any]
) -> Structure | None:
    if side.unit == "channels":
        width = shapes[side.reader][1]
        rows = [Member(name, "rows", _spans(parts, 1, 1, width)) for name, parts in side.rows]
        return Structure("channels", width, (*rows, Member(side.reader, "columns", (Span(0, 1),))))
    heads = int(config["num_attention_heads"])
    groups = int(config.get("num_key_value_heads") or heads)
    width = shapes[side.reader][1] // heads
    each = heads // groups
    rows = [Member(name, "rows", _spans(parts, each * width, width, groups)) for name, parts in side.rows]
    reader = Member(side.reader, "columns", (Span(0, each * width),))
    return Structure("heads", groups, (*rows, reader), each, width)


def _spans(parts: tuple[str, ...], queries: int, keys: int, groups: int) -> tuple[Span, ...]:
    """The projections that a layer's rows are, one below the other."""
    found, first = [], 0
    for part in parts:
        each = queries if part == "queries" else keys
        found.append(Span(first, each))
        first += each * groups
    return tuple(found)


def readers(names: Collection[str]) -> set[str]:
    """Of these layers, those whose columns go with coupled groups."""
    known = (side for family in FAMILIES.values() for side in family.coupled)
    return {side.reader for side in known if side.layers <= set(names)}


def check_has_groups(names: Collection[str], title: str) -> None:
    """Raise BadInput where layers of these names hold no channels of an MLP that could go together."""
    known = (side for family in FAMILIES.values() for side in family.coupled if side.unit == "channels")
    if not any(side.layers <= set(names) for side in known):
        raise no_groups(title)


def no_groups(title: str) -> BadInput:
    return BadInput(
        f"{title} has no attention heads or MLP channels that can be removed as groups here; choose the method depth, "
        "or one that removes single weights."
    )
