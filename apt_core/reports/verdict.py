"""Is the pruned model smaller, is it faster? One plain answer with its reasons, from what a run measured."""

from __future__ import annotations

from apt_core.base.patterns import SemiStructured
from apt_core.base.words import percent
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune

_SMALLER = 0.98  # of the dense size; less than that much gone is no gain


def verdict(record: RunRecord) -> str | None:
    """'Neither smaller nor faster as it is, because ... '; None before sizes are known."""
    dense, pruned = record.size_of("dense"), record.size_of("pruned")
    if dense is None or pruned is None:
        return None
    said = "Smaller" if pruned.on_disk < _SMALLER * dense.on_disk else "Neither smaller"
    joined = "but not" if said == "Smaller" else "nor"
    return (
        f"{said} {joined} faster as it is, because zeros are stored and multiplied like other weights. "
        f"Packed it takes {percent(pruned.packed / dense.on_disk)} of the dense files, compressed "
        f"{percent(pruned.compressed / dense.compressed)} of the dense ones compressed. {sparse_kernel(record)}"
    )


def sparse_kernel(record: RunRecord) -> str:
    """Why the zeros were multiplied all the same."""
    job, device = record.job, record.model.device if record.model else "cpu"
    if not isinstance(job, Prune) or not _is_two_of_four(job):
        return "No sparse kernel was used: those of torch.sparse know 2:4 alone, and this is another pattern."
    if not device.startswith("cuda"):
        return (
            f"No sparse kernel was used: torch.sparse's 2:4 kernels need an NVIDIA GPU of compute capability 8.0 or "
            f"newer, and this run computed on {device}."
        )
    return "No sparse kernel was used: dense kernels measure the model on a GPU too."


def _is_two_of_four(job: Prune) -> bool:
    return isinstance(job.pattern, SemiStructured) and (job.pattern.keep, job.pattern.of) == (2, 4)
