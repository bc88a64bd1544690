"""Which runs can be compared, and in what. No torch."""

from __future__ import annotations

from apt_core.events.records import RunRecord

DENSE_TOLERANCE = (
    1e-3  # the same weights on the same windows, computed by another machine or in another order
)


def same_task(one: RunRecord, other: RunRecord) -> bool:
    """Whether both prune and were given the very same model, pattern, texts, seed, layers and precision: only the
    method differs."""
    return one.job.without_method is not None and one.job.without_method == other.job.without_method


def comparable(one: RunRecord, other: RunRecord) -> bool:
    """Whether the pruned perplexities of two runs compare: the same model, pattern and evaluation, and a dense
    perplexity that shows that both read the same windows."""
    if one.dense is None or other.dense is None:
        return False
    if one.job.judged_by is None or one.job.judged_by != other.job.judged_by:
        return False
    return abs(other.dense.perplexity / one.dense.perplexity - 1) < DENSE_TOLERANCE
