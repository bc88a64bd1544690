"""What a whole race will take: the needs of its runs, one after another. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.base.words import duration, size
from apt_core.estimate.preflight import Estimate, disk_refusal
from apt_core.jobs import Prune
from apt_core.models.catalogue.facts import ModelFacts

# What the first run does for all: a converted model stays, a dense perplexity is reused.
_ONCE = ("convert", "dense_eval")


def together(jobs: Sequence[Prune], needs: Sequence[Estimate], facts: ModelFacts) -> Estimate:
    """The needs of all these runs as one estimate; of a single run its own. Refused when one of them is."""
    first = needs[0]
    if len(needs) == 1:
        return first
    seconds = [_seconds(each, is_first=each is first) for each in needs]
    known = all(each is not None for each in seconds)
    total = first.model_copy(
        update={
            "seconds": sum(each or 0.0 for each in seconds) if known else None,
            "memory_bytes": _largest(needs),
            "disk_bytes": _disk(needs, facts),
            "sentences": _sentences(jobs, seconds, needs),
        }
    )
    return total.model_copy(update={"refusal": _refusal(jobs, needs) or disk_refusal(total)})


def _seconds(needs: Estimate, is_first: bool) -> float | None:
    if needs.seconds is None or is_first:
        return needs.seconds
    return needs.seconds - sum(needs.parts.get(stage, 0.0) for stage in _ONCE)


def _largest(needs: Sequence[Estimate]) -> int | None:
    """Runs wait for one another, so the hungriest decides."""
    return max((each.memory_bytes for each in needs if each.memory_bytes is not None), default=None)


def _disk(needs: Sequence[Estimate], facts: ModelFacts) -> int | None:
    """Every run leaves pruned weights; what was fetched and converted is there once, what only waits in turn."""
    known = [each.disk_bytes for each in needs if each.disk_bytes is not None]
    weights = facts.bytes_on_disk or 2 * (facts.parameters or 0)
    return max(known) + (len(needs) - 1) * weights if len(known) == len(needs) else None


def _refusal(jobs: Sequence[Prune], needs: Sequence[Estimate]) -> str | None:
    """Says which method cannot take part, unless the reason is the same for all."""
    refused = [(job, each.refusal) for job, each in zip(jobs, needs, strict=True) if each.refusal]
    if not refused:
        return None
    job, reason = refused[0]
    if len(refused) == len(jobs) and len({said for _, said in refused}) == 1:
        return reason
    return f"{job.method.label} cannot take part: {reason}"


def _sentences(
    jobs: Sequence[Prune], seconds: Sequence[float | None], needs: Sequence[Estimate]
) -> tuple[str, ...]:
    if any(spent is None for spent in seconds):
        return needs[0].sentences
    each = ", ".join(
        f"{job.method.label} about {duration(spent)}" for job, spent in zip(jobs, seconds, strict=True)
    )
    return (
        f"{each}; {needs[0].basis}.",
        "The dense perplexity is measured once, by the first run, and reused by the others.",
        f"About {size(_largest(needs))} of memory at most, since one run waits for the other.",
        f"{len(needs)} pruned models stay on the disk.",
    )
