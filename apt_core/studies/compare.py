"""Which runs can be compared, and in what. No torch."""

from __future__ import annotations

from apt_core.events.records import RunRecord

_DENSE_TOLERANCE = (
    1e-3  # the same weights on the same windows, computed by another machine or in another order
)


def same_task(one: RunRecord, other: RunRecord) -> bool:
    """Whether both were given the very same model, pattern, texts, seed and layers: only the method differs."""
    return _task(one) == _task(other)


def comparable(one: RunRecord, other: RunRecord) -> bool:
    """Whether the perplexities of two runs compare: the same model, pattern and evaluation, and a dense
    perplexity that shows that both read the same windows."""
    if one.dense is None or other.dense is None or _measured_on(one) != _measured_on(other):
        return False
    return abs(other.dense.perplexity / one.dense.perplexity - 1) < _DENSE_TOLERANCE


def _measured_on(record: RunRecord) -> tuple[object, ...]:
    return record.recipe.model, record.recipe.pattern, record.recipe.evaluation


def _task(record: RunRecord) -> tuple[object, ...]:
    recipe = record.recipe
    return *_measured_on(record), recipe.calibration, recipe.seed, recipe.optional_layers
