"""Moves of a set of groups that stay, for an evolutionary search (arXiv 2409.17372, Algorithm 1).

A kept set is [groups], True where a group stays. A move keeps or sets its size exactly, and leaves most of the set as
it was: of the smaller of the old and the new size at least the share `similarity`, rounded down, is in both.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_PULL = 8.0  # log odds of the most important group over the least, where draws go by importance


class Draws(NamedTuple):
    """similarity: alpha of the paper. tries: eta, after which the old set stays. by_importance: whether important
    groups are drawn more often than others."""

    similarity: float = 0.8
    tries: int = 10
    by_importance: bool = True


def most_important(importance: Float[Tensor, groups], count: int) -> Bool[Tensor, groups]:
    """The `count` groups of highest importance; of equal ones those with the lower number go first."""
    kept = torch.zeros(len(importance), dtype=torch.bool)
    kept[importance.argsort(stable=True)[len(importance) - count :]] = True
    return kept


def resized(
    kept: Bool[Tensor, groups], count: int, importance: Float[Tensor, groups]
) -> Bool[Tensor, groups]:
    """`count` groups: the least important of those that stay go, or the most important of the others come back.

    Example: {0, 1} of importance [1, 3, 2] becomes {1} for 1, and {0, 1, 2} for 3.
    """
    reach = float(importance.max() - importance.min()) + 1
    return most_important(importance + reach * kept, count)


def redrawn(
    kept: Bool[Tensor, groups],
    count: int,
    importance: Float[Tensor, groups],
    draws: Draws,
    generator: torch.Generator,
) -> Bool[Tensor, groups]:
    """Another set of `count` groups that is similar enough, by at most `tries` draws; where none is, the old one,
    `resized` to `count`.

    How many groups a draw has in common with the old set is drawn first, each number as likely as another: a set drawn
    as a whole has nearly always the same overlap, and hardly ever a large one.
    """
    size, pull = int(kept.sum()), _pull(importance, draws.by_importance)
    fewest, most = max(0, count - (len(kept) - size)), min(size, count)
    enough = math.floor(draws.similarity * most)
    for _ in range(draws.tries):
        common = int(torch.randint(fewest, most + 1, (1,), generator=generator))
        if common < enough:
            continue
        found = torch.zeros_like(kept)
        found[_some(kept.nonzero().flatten(), common, pull, generator)] = True
        found[_some((~kept).nonzero().flatten(), count - common, pull, generator)] = True
        return found
    return resized(kept, count, importance)


def _pull(importance: Tensor, by_importance: bool) -> Tensor:
    """[groups] log odds: by the rank among all, from 0 to `_PULL`."""
    if not by_importance:
        return torch.zeros(len(importance), dtype=torch.float64)
    ranks = importance.argsort(stable=True).argsort()
    return _PULL * ranks.double() / max(1, len(importance) - 1)


def _some(
    places: Int[Tensor, some], count: int, pull: Float[Tensor, groups], generator: torch.Generator
) -> Int[Tensor, few]:
    """`count` of these places without replacement, each with odds exp(pull): the largest of pull + Gumbel noise."""
    uniform = torch.rand(len(places), generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    noise = -torch.log(-torch.log(uniform))
    return places[(pull[places] + noise).topk(count).indices]
