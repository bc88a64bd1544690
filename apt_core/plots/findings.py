"""Findings about the errors of layers, each by a stated statistical test.

Errors are compared as logarithms, for they span decades.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import NamedTuple

from apt_core.base.words import number
from apt_core.events import Evaluated, LayerPruned
from apt_core.events.projections import kind_of
from apt_core.measure.rank_tests import chance_of_being_greater, median_slope, rises_or_falls
from apt_core.studies.paired import differs_surely

SIGNIFICANT = 0.01
_WORTH_SAYING = 1.25  # a trend of less is even, however sure it is
_FAR = 3.5  # modified z-score of an outlier: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993)
_MAD_TO_SIGMA = 1.4826


class Trend(NamedTuple):
    """The factor by which the error changes from the first block to the last."""

    factor: float
    first: int
    last: int


def trend(layers: Sequence[LayerPruned]) -> Trend | None:
    """A monotone change from block to block. Every kind of layer is compared with its own mean, so that blocks of other
    kinds make no trend."""
    return trend_of(_centred_by_block(layers))


def trend_of(by_block: Mapping[int, float]) -> Trend | None:
    """A monotone change of block -> logarithm: Spearman's rank correlation, p < 0.01. The size of the change is the
    median slope over all pairs of blocks (Theil and Sen)."""
    if len(by_block) < 3 or len(set(by_block.values())) < 2:
        return None
    blocks, levels = zip(*sorted(by_block.items()), strict=True)
    if not rises_or_falls(blocks, levels, SIGNIFICANT):
        return None
    factor = math.exp(median_slope(blocks, levels) * (blocks[-1] - blocks[0]))
    worth = max(factor, 1 / factor) >= _WORTH_SAYING
    return Trend(factor, blocks[0], blocks[-1]) if worth else None


def leading_kind(layers: Sequence[LayerPruned]) -> str | None:
    """The kind of layer whose errors are larger than those of all other kinds: Mann and Whitney's U, one-sided,
    p < 0.01 after Bonferroni's correction for the number of kinds."""
    by_kind = _by_kind(layers)
    if len(by_kind) < 2:
        return None
    leader = max(by_kind, key=lambda kind: fmean(by_kind[kind]))
    rest = [error for kind, errors in by_kind.items() if kind != leader for error in errors]
    p = chance_of_being_greater(by_kind[leader], rest)
    return leader if p * len(by_kind) < SIGNIFICANT else None


def lone_layer(layers: Sequence[LayerPruned]) -> LayerPruned | None:
    """The only layer whose error lies far above the rest, by the logarithms."""
    errors = [layer for layer in layers if layer.relative_error > 0]
    place = lone_value([math.log(layer.relative_error) for layer in errors])
    return None if place is None else errors[place]


def lone_value(values: Sequence[float]) -> int | None:
    """The place of the only value that lies far above the rest: a modified z-score (from the median, in median absolute
    deviations) above 3.5."""
    if len(values) < 5:
        return None
    middle = median(values)
    spread = _MAD_TO_SIGMA * median(abs(value - middle) for value in values)
    far = [place for place, value in enumerate(values) if value - middle > _FAR * spread]
    return far[0] if len(far) == 1 and spread > 0 else None


def lopsided(more: int, less: int) -> bool:
    """Whether one kind is significantly more frequent than the other: a two-sided sign test, p < 0.01."""
    together, most = more + less, max(more, less)
    tail = sum(math.comb(together, count) for count in range(most, together + 1))
    return together > 0 and 2 * tail < SIGNIFICANT * 2**together


def differ(one: Evaluated, other: Evaluated) -> bool:
    """Whether two models differ on the same windows: a paired t-test of the windows' losses, p < 0.01. Figures of
    runs that kept no losses differ when they are not written alike."""
    if not one.losses or len(one.losses) != len(other.losses):
        return number(one.perplexity) != number(other.perplexity)
    if one.losses == other.losses or len(one.losses) < 2:
        return False
    return differs_surely(one.losses, other.losses, SIGNIFICANT)


def _centred_by_block(layers: Sequence[LayerPruned]) -> Mapping[int, float]:
    """Block -> mean over its layers of log error, less the mean of the layer's kind."""
    mean = {kind: fmean(map(math.log, errors)) for kind, errors in _by_kind(layers).items()}
    by_block: dict[int, list[float]] = defaultdict(list)
    for layer in layers:
        if layer.relative_error > 0:
            by_block[layer.block].append(math.log(layer.relative_error) - mean[kind_of(layer.layer)])
    return {block: fmean(values) for block, values in by_block.items()}


def _by_kind(layers: Sequence[LayerPruned]) -> Mapping[str, list[float]]:
    """Kind -> errors of its layers; an exact zero has no logarithm and says nothing here."""
    by_kind: dict[str, list[float]] = defaultdict(list)
    for layer in layers:
        if layer.relative_error > 0:
            by_kind[kind_of(layer.layer)].append(layer.relative_error)
    return by_kind
