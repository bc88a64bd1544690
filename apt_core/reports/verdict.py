"""Is the pruned model smaller, is it faster? One plain answer with its reasons, from what a run measured."""

from __future__ import annotations

from typing import Literal

from apt_core.base.patterns import SemiStructured
from apt_core.base.values import Frozen
from apt_core.base.words import number, percent, times
from apt_core.events import Measured, Speed
from apt_core.events.records import RunRecord

Pace = Literal["faster", "slower", "as fast", "not measurable now", "not measured"]
_SMALLER = 0.98  # of the dense size; less than that much gone is no gain
_DENSE_ALONE = "No sparse kernel was used: speed was measured with dense kernels alone."
_STEADY = 1.25  # the fastest repeat over the slowest of one model, up to which a machine is quiet
_ALONE = 0.1  # apart at most, where each was measured once, to be called as fast as the other


class Verdict(Frozen):
    """on_disk: pruned over dense files. decode, prefill: pruned over dense tokens a second, None where no difference
    shows. lead: the answer and its reason, which begins the sentence."""

    smaller: bool
    speed: Pace
    on_disk: float
    decode: float | None
    prefill: float | None
    lead: str
    sentence: str


def verdict_of(record: RunRecord) -> Verdict | None:
    """None before both models are measured."""
    dense, pruned = record.dense_speed, record.pruned_speed
    if dense is None or pruned is None:
        return None
    on_disk = pruned.bytes_on_disk / max(dense.bytes_on_disk, 1)
    if (before := record.size_of("dense")) and (after := record.size_of("pruned")):
        on_disk = after.on_disk / max(before.on_disk, 1)
    smaller, speed = on_disk < _SMALLER, pace(dense, pruned)
    first = _lead_without_structures(smaller, dense, pruned) if record.shrunk else lead(smaller, speed)
    said = (
        first,
        _packed(record),
        _speeds(dense, pruned, speed),
        _prompts(dense, pruned) if record.shrunk else "",
        sparse_kernel(record),
    )
    return Verdict(
        smaller=smaller,
        speed=speed,
        on_disk=on_disk,
        decode=_over(pruned.decode, dense.decode),
        prefill=_over(pruned.prefill, dense.prefill),
        lead=first,
        sentence=" ".join(filter(None, said)),
    )


def verdict(record: RunRecord) -> str | None:
    """'Not smaller or faster yet: zeros are ... '; None before both models are measured."""
    found = verdict_of(record)
    return found.sentence if found else None


def pace(dense: Measured, pruned: Measured) -> Pace:
    """Of decoding: what the repeats of both models can show. Each measured once, minutes apart, shows no difference."""
    if dense.tokens_per_second is None or pruned.tokens_per_second is None:
        return "not measured"
    if dense.decode is None or pruned.decode is None:
        apart = abs(pruned.tokens_per_second / max(dense.tokens_per_second, 1e-9) - 1)
        return "as fast" if apart <= _ALONE else "not measurable now"
    if (ratio := pruned.decode.over(dense.decode)) is not None:
        return "faster" if ratio > 1 else "slower"
    return "as fast" if steady(dense.decode, pruned.decode) else "not measurable now"


def steady(*speeds: Speed) -> bool:
    """Whether repeats of each differ so little that no difference between them means something."""
    return all(one.high <= _STEADY * one.low for one in speeds)


def lead(smaller: bool, speed: Pace) -> str:
    """The answer and its reason, in one sentence, of a model whose weights were zeroed."""
    if speed == "faster":
        return "Smaller and faster." if smaller else "Faster but not smaller: zeros are still stored."
    if speed.startswith("not"):
        unknown = f"; speed is {speed}."
        return (
            f"{'Smaller' if smaller else 'Not smaller yet: zeros are still stored and multiplied'}{unknown}"
        )
    if smaller:
        return "Smaller but not faster: zeros are still multiplied."
    return "Not smaller or faster yet: zeros are still stored and multiplied."


def _lead_without_structures(smaller: bool, dense: Measured, pruned: Measured) -> str:
    """The same of a model that lost whole structures: there are no zeros to be stored or multiplied."""
    speed = pace(dense, pruned)
    hardly = "" if smaller else ": hardly anything was removed"
    if speed.startswith("not"):
        return f"{'Smaller' if smaller else 'Not smaller'}{hardly}; speed is {speed}."
    if speed == "faster":
        return f"{'Smaller and faster' if smaller else 'Faster but not smaller'}{hardly}."
    if not smaller:
        return f"Not smaller or faster{hardly}."
    if speed == "slower":
        return "Smaller but slower."
    once = dense.decode is None or pruned.decode is None
    why = (
        "each was measured once, which shows no difference" if once else "timing varies as much as it differs"
    )
    return f"Smaller but not faster: {why}."


def sparse_kernel(record: RunRecord) -> str:
    """Why zeros were multiplied as any other number."""
    if record.shrunk:
        return ""
    job, device = record.job, record.model.device if record.model else "cpu"
    pattern = getattr(job, "pattern", None)
    if pattern is None:
        return _DENSE_ALONE
    if pattern != SemiStructured(keep=2, of=4):
        return "No sparse kernel was used: those of torch.sparse know 2:4 alone, and this is another pattern."
    if not device.startswith("cuda"):
        return (
            f"No sparse kernel was used: torch.sparse's 2:4 kernels need an NVIDIA GPU of compute capability 8.0 or "
            f"newer, and this run computed on {device}."
        )
    return _by_sparse_kernels(record)


def _by_sparse_kernels(record: RunRecord) -> str:
    """What torch.sparse's kernels did on a GPU, against the dense model in the same turns."""
    found, dense = record.sparse_kernels, record.dense_speed
    if found is None:
        return _DENSE_ALONE
    if not found.layers or not found.prefill or not found.decode:
        return f"No sparse kernel was used: torch.sparse refused ({found.why})."
    prefill = _against(found.prefill, dense.prefill if dense else None)
    decode = _against(found.decode, dense.decode if dense else None)
    said = (
        f"With torch.sparse's 2:4 kernels in {found.layers} layers a prompt is read {prefill} and a token is written "
        f"{decode}."
    )
    return f"{said} They refused other layers ({found.why})." if found.why else said


def _against(sparse: Speed, dense: Speed | None) -> str:
    """'1.31 times as fast as by the dense model', or that no difference shows."""
    ratio = sparse.over(dense) if dense else None
    if ratio is None:
        return "no faster than by the dense model, as far as the repeats show"
    return f"{ratio:.2f} times as fast as by the dense model"


def spread(speed: Speed) -> str:
    """'21.4 (20.9 to 22.3)'"""
    return f"{number(speed.median)} ({number(speed.low)} to {number(speed.high)})"


def _packed(record: RunRecord) -> str:
    """What other ways to store it take; nothing of runs that did not look."""
    dense, pruned = record.size_of("dense"), record.size_of("pruned")
    if dense is None or pruned is None:
        return ""
    return (
        f"Packed it takes {percent(pruned.packed / dense.on_disk)} of the dense files, compressed "
        f"{percent(pruned.compressed / dense.compressed)} of the dense ones compressed."
    )


def _speeds(dense: Measured, pruned: Measured, speed: Pace) -> str:
    """What was measured, where it says anything."""
    if dense.decode is None or pruned.decode is None:
        once = "Each was measured once, minutes apart, and other work on the machine shows in that."
        return once if speed == "not measurable now" else ""
    measured = f"{spread(dense.decode)} tokens a second dense, {spread(pruned.decode)} pruned"
    how = f"decoding in turns, {dense.decode.repeats} times each"
    if speed == "not measurable now":
        return f"Timing is too noisy to compare ({measured}; {how}): the machine is busy."
    ratio = pruned.decode.over(dense.decode)
    return f"It writes {times(ratio)} as fast: {measured} ({how})." if ratio else ""


def _prompts(dense: Measured, pruned: Measured) -> str:
    """How fast a prompt is read, where structures are gone and a difference shows; the verdict goes by the answer."""
    ratio = _over(pruned.prefill, dense.prefill)
    if ratio is None or dense.prefill is None or pruned.prefill is None:
        return ""
    measured = f"{spread(dense.prefill)} tokens a second dense, {spread(pruned.prefill)} pruned"
    return f"It reads a prompt {times(ratio)} as fast: {measured}."


def _over(pruned: Speed | None, dense: Speed | None) -> float | None:
    return pruned.over(dense) if pruned and dense else None
