"""How many heads and channels of each block stay: alike, alike in some of the blocks, or ranked over these together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from apt_core.base.errors import BadOption
from apt_core.families import Structure
from apt_core.maths.group_importance import lowest_together
from apt_core.methods.structured.llm_pruner import (
    Groups,
    LLMPruner,
    groups_kept,
    nearest_multiple,
    share_of_each,
)

Counts = Mapping[tuple[int, str], int]  # (block, unit) -> groups that stay


class Widths(NamedTuple):
    """The structures of every block. each: unit -> weights that go with a group. whole: weights of a block. pruned: the
    blocks that lose groups, of so many."""

    structures: tuple[Structure, ...]
    each: Mapping[str, int]
    whole: int
    pruned: range
    blocks: int


def counts_ahead(method: LLMPruner, widths: Widths, sparsity: float) -> Counts | None:
    """What is known before any importance is: all but what is ranked over blocks. Raises BadOption where none goes."""
    share = share_of_each(sparsity, widths.pruned, widths.blocks)
    if method.widths == "global":
        return None
    groups: dict[str, Groups] = {
        one.unit: Groups(one.groups, widths.each[one.unit]) for one in widths.structures
    }
    kept = groups_kept(share, widths.whole, groups, method.multiple)
    counts = _of_all(widths, {(block, unit): n for block in widths.pruned for unit, n in kept.items()})
    return _checked(counts, method, widths, sparsity)


def counts_of(
    method: LLMPruner, widths: Widths, sparsity: float, scores: Mapping[tuple[int, str], Tensor]
) -> Counts:
    """Ranked over the pruned blocks together, heads and channels in one list; channels to the nearest multiple."""
    own = {key: found for key, found in scores.items() if key[0] in widths.pruned}
    to_go = sparsity * widths.whole * widths.blocks
    kept = lowest_together(own, {key: widths.each[key[1]] for key in own}, to_go)
    channels = next(one.groups for one in widths.structures if one.unit == "channels")
    for key, count in kept.items():
        if key[1] == "channels":
            kept[key] = nearest_multiple(count, channels, method.multiple)
    return _checked(_of_all(widths, kept), method, widths, sparsity)


def _of_all(widths: Widths, kept: Counts) -> dict[tuple[int, str], int]:
    """Blocks that are not pruned keep everything."""
    return {
        (block, one.unit): kept.get((block, one.unit), one.groups)
        for block in range(widths.blocks)
        for one in widths.structures
    }


def _checked(counts: Counts, method: LLMPruner, widths: Widths, sparsity: float) -> Counts:
    """Raise BadOption where nothing goes, or clearly less than was asked for."""
    groups: dict[str, int] = {one.unit: one.groups for one in widths.structures}
    gone = sum((groups[unit] - count) * widths.each[unit] for (_, unit), count in counts.items())
    if not gone:
        raise BadOption(
            "So little goes that no head and no channel does; choose more sparsity or a smaller multiple."
        )
    whole = widths.whole * widths.blocks
    least = method.multiple * widths.each["channels"] * len(widths.pruned)  # that may be left by rounding
    if sparsity * whole > gone + least:
        raise BadOption(
            f"By {' and '.join(groups)} at most {gone / whole:.1%} of the blocks' weights go here, since a few of each "
            f"block stay; choose at most {math.floor(1000 * gone / whole) / 1000:g}, or remove whole blocks."
        )
    return counts
