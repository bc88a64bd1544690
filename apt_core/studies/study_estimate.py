"""What all runs of a study will take: their needs added up, with what they share counted once. No torch."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Sequence

from apt_core.base.words import duration, size
from apt_core.estimate.preflight import Estimate, disk_refusal
from apt_core.jobs import Pruning
from apt_core.models.catalogue.facts import ModelFacts

_LISTED = 6  # runs whose own time is said


def together(
    jobs: Sequence[Pruning],
    needs: Sequence[Estimate],
    facts: ModelFacts,
    asked_by_results: bool = False,
    at_once: int = 1,
    apart: bool = False,
    on_nodes: bool = False,
) -> Estimate:
    """The needs of all these runs as one estimate; of a single run its own. Refused when one of them is.

    asked_by_results: the jobs are asked for one after the other, so there are at most as many.
    at_once: the most at work at the same time. Those that share the cores take as long as one after another at most;
    apart: each has cores or a GPU of its own, and the next run takes the first that are free. on_nodes: each has the
    memory of a node of a cluster.
    """
    first = needs[0]
    if len(needs) == 1:
        return first
    seconds = _seconds(jobs, needs)
    known = all(each is not None for each in seconds)
    beside = 1 if asked_by_results else min(at_once, len(jobs))
    total = first.model_copy(
        update={
            "seconds": _until_all_end(seconds, beside if apart else 1) if known else None,
            "memory_bytes": _largest(needs, 1 if on_nodes else beside),
            "disk_bytes": _disk(needs, facts),
            "sentences": _sentences(jobs, seconds, needs, asked_by_results, beside, apart, on_nodes),
            "at_once": beside,
        }
    )
    return total.model_copy(update={"refusal": _refusal(jobs, needs) or disk_refusal(total)})


def in_a_row(needs: Sequence[Estimate]) -> Estimate:
    """The needs of runs that only measure, one after another: their times together, and of all else the most. Refused
    when one of them is."""
    known = [each.seconds for each in needs if each.seconds is not None]
    whole = len(known) == len(needs)
    changes = {
        "seconds": sum(known) if whole else None,
        "memory_bytes": _largest(needs),
        "disk_bytes": max((each.disk_bytes for each in needs if each.disk_bytes is not None), default=None),
        "download_bytes": max(each.download_bytes for each in needs),
        "refusal": next((each.refusal for each in needs if each.refusal), None),
    }
    return needs[0].model_copy(update=changes)


def _seconds(jobs: Sequence[Pruning], needs: Sequence[Estimate]) -> list[float | None]:
    """Of each run without the stages that an earlier one has done for it."""
    done: set[Hashable] = set()
    found: list[float | None] = []
    for job, each in zip(jobs, needs, strict=True):
        shared = set(job.shared_stages.items())
        spared = sum(each.parts.get(stage, 0.0) for stage, _ in shared & done)
        found.append(None if each.seconds is None else each.seconds - spared)
        done |= {(stage, key) for stage, key in shared if each.parts.get(stage)}
    return found


def _until_all_end(seconds: Sequence[float | None], beside: int) -> float:
    """Each run begins, in their order, where a place is free first."""
    free = [0.0] * beside
    for spent in seconds:
        heapq.heapreplace(free, free[0] + (spent or 0.0))
    return max(free)


def _largest(needs: Sequence[Estimate], beside: int = 1) -> int | None:
    """The most memory that runs can take which may run at the same time."""
    known = sorted((each.memory_bytes for each in needs if each.memory_bytes is not None), reverse=True)
    return sum(known[:beside]) if known else None


def _disk(needs: Sequence[Estimate], facts: ModelFacts) -> int | None:
    """Every run leaves pruned weights; what was fetched and converted is there once, what only waits in turn."""
    known = [each.disk_bytes for each in needs if each.disk_bytes is not None]
    weights = facts.bytes_on_disk or 2 * (facts.parameters or 0)
    return max(known) + (len(needs) - 1) * weights if len(known) == len(needs) else None


def _refusal(jobs: Sequence[Pruning], needs: Sequence[Estimate]) -> str | None:
    """Says which run cannot take part, unless the reason is the same for all."""
    refused = [(job, each.refusal) for job, each in zip(jobs, needs, strict=True) if each.refusal]
    if not refused:
        return None
    job, reason = refused[0]
    if len(refused) == len(jobs) and len({said for _, said in refused}) == 1:
        return reason
    return f"{_name(job, jobs)} cannot take part: {reason}"


def _name(job: Pruning, among: Sequence[Pruning]) -> str:
    """The method, and the pattern where that differs."""
    return job.method.label if len({one.pattern for one in among}) == 1 else job.label


def _sentences(
    jobs: Sequence[Pruning],
    seconds: Sequence[float | None],
    needs: Sequence[Estimate],
    asked_by_results: bool,
    beside: int,
    apart: bool,
    on_nodes: bool,
) -> tuple[str, ...]:
    if any(spent is None for spent in seconds):
        return needs[0].sentences
    gradients = sum(bool(each.parts.get("gradients")) for each in needs)
    said = (
        f"{_times(jobs, seconds)}; {needs[0].basis}.",
        "Runs at the same time share the cores, so together they take as long as one after another, or somewhat less."
        if beside > 1 and not apart
        else None,
        "The dense perplexity is measured once, by the first run, and reused by the others.",
        "The gradients of the dense loss are taken once for all runs with the same calibration text and target."
        if gradients > 1
        else None,
        _memory_sentence(needs, beside, on_nodes),
        f"{'At most ' if asked_by_results else ''}{len(needs)} pruned models stay on the disk.",
    )
    return tuple(sentence for sentence in said if sentence)


def _memory_sentence(needs: Sequence[Estimate], beside: int, on_nodes: bool) -> str:
    if on_nodes:
        return f"About {size(_largest(needs))} of memory at most for each run, on its node of the cluster."
    how = f"{beside} at a time" if beside > 1 else "since one run waits for the other"
    return f"About {size(_largest(needs, beside))} of memory at most, {how}."


def _times(jobs: Sequence[Pruning], seconds: Sequence[float | None]) -> str:
    """'APT about 28 s, Wanda about 20 s'; of many runs the shortest and the longest."""
    if len(jobs) <= _LISTED:
        each = zip(jobs, seconds, strict=True)
        return ", ".join(f"{_name(job, jobs)} about {duration(spent)}" for job, spent in each)
    known = [spent or 0.0 for spent in seconds]
    return f"{len(jobs)} runs of about {duration(min(known))} to {duration(max(known))} each"
