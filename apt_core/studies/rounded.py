"""What rounding would give instead of pruning, or on top of it: finished evaluations of rounded models that were
measured on the very windows of a run or a sweep, with the bytes that they would take. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from apt_core.events.records import RunRecord
from apt_core.jobs.kinds import measures
from apt_core.studies.paired import Reading, readings, why_unpaired


class Reference(NamedTuple):
    """A model that was not pruned, or not only. run: that which measured it. bits: to which its weights are rounded, 0
    for a model as it is."""

    run: str
    label: str
    n_bytes: int  # codes, scales and all that is not rounded; of a pruned model with its bit mask
    perplexity: float
    bits: int = 0


def references(swept: Sequence[RunRecord], others: Iterable[RunRecord]) -> list[Reference]:
    """The dense model of these runs as it is, then what was rounded, the newest of each kind, by size."""
    dense = next((found for run in swept if (found := _as_it_is(run))), None)
    named: dict[str, Reference] = {}
    for other in others:
        if (found := _rounded(swept, other)) is not None:
            named.setdefault(found.label, found)
    by_size = sorted(named.values(), key=lambda one: one.n_bytes, reverse=True)
    return ([dense] if dense else []) + by_size


def rounds(record: RunRecord) -> bool:
    """Whether this run measures a rounded model, or did and has finished."""
    return _asks_for_rounding(record) and (record.live or is_rounded(record))


def is_rounded(record: RunRecord) -> bool:
    """Whether this run measured a rounded model and has finished."""
    return record.rounded is not None and record.status == "finished"


def on_their_way(swept: Sequence[RunRecord], others: Iterable[RunRecord]) -> tuple[RunRecord, ...]:
    """The runs that wait or work to measure a rounded form of the dense model or of one of these, on their windows."""
    return tuple(other for other in others if other.live and _rounds_one_of(swept, other))


def _rounds_one_of(swept: Sequence[RunRecord], other: RunRecord) -> bool:
    run = _origin(swept, other)
    return run is not None and _asks_for_rounding(other) and run.job.evaluation[0] in other.job.evaluation


def _asks_for_rounding(record: RunRecord) -> bool:
    return measures(record.job) and record.job.rounding.number > 0


def _origin(swept: Sequence[RunRecord], other: RunRecord) -> RunRecord | None:
    """The run whose dense or pruned model the other one measured."""
    return next((one for one in swept if other.job.model == one.job.model or other.made_from == one.id), None)


def _as_it_is(run: RunRecord) -> Reference | None:
    size = run.size_of("dense")
    if size is None or run.dense is None:
        return None
    return Reference(run.id, "dense", size.on_disk, run.dense.perplexity)


def _rounded(swept: Sequence[RunRecord], other: RunRecord) -> Reference | None:
    """None for what is no rounded form of the dense model or of one of the runs, or was measured on other windows."""
    if not is_rounded(other) or other.rounded is None:
        return None
    run = _origin(swept, other)
    if run is None or (measured := on_the_same_windows(run, other)) is None:
        return None
    pruned = other.made_from == run.id
    what = run.pruning.label if pruned else "dense"
    n_bytes = other.rounded.packed_bytes if pruned else other.rounded.n_bytes
    bits = other.rounded.bits
    return Reference(other.id, f"{what}, {bits} bits", n_bytes, measured.made.perplexity, bits)


def on_the_same_windows(run: RunRecord, other: RunRecord) -> Reading | None:
    """What the other run measured on all windows of the first text of `run`, in the same precision."""
    if run.model and other.model and run.model.dtype != other.model.dtype:
        return None
    for one in readings(run)[:1]:
        for found in readings(other):
            same_text = found.wanted.text == one.wanted.text and found.span == one.span
            if same_text and why_unpaired(run, other, one, found) is None:
                return found
    return None
