"""A run as text for a person: what was done, what it cost, how large the result is."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from apt_core.base import words
from apt_core.cli.output import table
from apt_core.cli.progress import describe, what
from apt_core.events import Diverged, Evaluated, LayerPruned
from apt_core.events.projections import kind_of, parts_of
from apt_core.events.records import RunRecord
from apt_core.models.catalogue.entries import title_of
from apt_core.reports.run_words import headline_sentence, speeds, structures_gone, verdict_of_run
from apt_core.reports.verdict import verdict


def report(record: RunRecord, checkpoint: str | None, parent: RunRecord | None = None) -> str:
    """Everything known about a run.

    checkpoint: where its pruned weights lie now. parent: the run that made its model, None when that is gone too.
    """
    parts = [describe(record) if record.live else f"{what(record)} · run {record.id} · {record.status}"]
    parts.append(_made_from(record, parent))
    if record.layers:
        parts.append(_layers(record.layers))
    parts.append(_figures(record, checkpoint))
    parts.append(_few_tokens(record.layers))
    parts += [f"Warning: {warning.message}" for warning in record.warnings]
    if record.failure:
        parts.append(record.failure.message)
    elif record.ratio is not None:
        parts.append(_verdict(record))
        parts.append(verdict(record) or "")
    return "\n\n".join(part for part in parts if part)


def _verdict(record: RunRecord) -> str:
    if record.training and record.model:
        return headline_sentence(record, record.model.title)
    return verdict_of_run(record, title_of(record.job.model.id))


def _made_from(record: RunRecord, parent: RunRecord | None) -> str:
    """Its dense model is what another run made."""
    if record.made_from is None:
        return ""
    if record.orphaned or parent is None:
        return f"Made from run {record.made_from}, which has been deleted."
    return f"Made from run {parent.id} ({what(parent)})."


def _layers(layers: Iterable[LayerPruned]) -> str:
    """One row per kind of projection, in the order in which they come in a block; below it those its rows are."""
    layers = list(layers)
    kinds: dict[str, list[LayerPruned]] = {}
    for layer in layers:
        for one in (layer, *parts_of(layer)):
            kinds.setdefault(kind_of(one.layer), []).append(one)
    rows = [_row(kind, group) for kind, group in kinds.items()]
    rows.append(_row("all", layers))
    head = ("projection", "layers", "mean error", "worst", "in block", "sparsity", "seconds")
    return table(head, rows)


def _few_tokens(layers: Iterable[LayerPruned]) -> str:
    """How many layers were pruned by statistics that are mostly noise; the warnings name them."""
    few = [layer for layer in layers if layer.few_tokens]
    if not few:
        return ""
    least = min(few, key=lambda layer: layer.tokens or 0)
    return (
        f"{len(few)} matrices saw too few tokens to be pruned well (fewest: {least.tokens} for "
        f"{least.layer} of block {least.block}); use more calibration samples."
    )


def _row(name: str, layers: list[LayerPruned]) -> tuple[str, ...]:
    worst = max(layers, key=lambda layer: layer.relative_error)
    removed = sum(layer.removed for layer in layers)
    weights = sum(layer.shape[0] * layer.shape[1] for layer in layers)
    return (
        name,
        str(len(layers)),
        words.number(sum(layer.relative_error for layer in layers) / len(layers)),
        words.number(worst.relative_error),
        str(worst.block),
        words.percent(removed / weights),
        words.number(sum(layer.seconds for layer in layers)),
    )


def _figures(record: RunRecord, checkpoint: str | None) -> str:
    lines = [("Removed", structures_gone(record.shrunk))] if record.shrunk else []
    lines += [("Perplexity", said) for said in _perplexities(record)]
    lines += [("Agreement", f"{words.agreement(one)} ({_compared_on(one)})") for one in record.diverged]
    lines += _sizes(record)
    if record.dense_speed and record.pruned_speed:
        lines += [
            ("Speed", f"{what}: {dense} dense, {pruned} pruned") for what, dense, pruned in speeds(record)
        ]
    if record.finished:
        lines.append(("Time", words.duration(record.finished.seconds.get("total"))))
        lines.append(("Peak memory", words.size(record.finished.peak_rss_bytes)))
    if checkpoint:
        lines.append(("Weights", checkpoint))
    return "\n".join(f"{name:<12}{text}" for name, text in lines)


def _compared_on(one: Diverged) -> str:
    return f"{one.windows} windows of {one.length} tokens of {one.text}"


def _sizes(record: RunRecord) -> list[tuple[str, str]]:
    """On disk as it is, compressed and packed; in memory."""
    dense, pruned = record.size_of("dense"), record.size_of("pruned")
    if dense is None or pruned is None:
        return []
    ways = (
        ("as it is", dense.on_disk, pruned.on_disk),
        (f"zstd {pruned.zstd_level}", dense.compressed, pruned.compressed),
        ("packed", dense.packed, pruned.packed),
        ("in memory", dense.resident, pruned.resident),
    )
    said = "; ".join(f"{way} {words.size(before)} dense, {words.size(after)}" for way, before, after in ways)
    return [("Size", said)]


def _perplexities(record: RunRecord) -> list[str]:
    """One line a text: the model before and after, or the only one there is."""
    alone = [
        f"{words.number(one.perplexity)}{_interval(one)} ({_where(one)})"
        for one in record.evaluated_on("model")
    ]
    if "recovered" in record.job.subjects or "start" in record.job.subjects:
        return [
            f"{words.number(one.perplexity)} {one.subject}{_interval(one)} ({_where(one)})"
            for one in record.evaluated
        ]
    after = record.evaluated_on("pruned")
    pairs = zip_longest(record.evaluated_on("dense"), after)
    return alone + [_pair(dense, pruned) for dense, pruned in pairs if dense]


def _pair(dense: Evaluated, pruned: Evaluated | None) -> str:
    where = _where(dense) + ("; dense measured once, reused" if dense.reused else "")
    if pruned is None:
        return f"{words.number(dense.perplexity)} dense ({where})"
    return (
        f"{words.number(dense.perplexity)} dense, {words.number(pruned.perplexity)} pruned, "
        f"{words.times(pruned.perplexity / dense.perplexity)} ({where})"
    )


def _where(one: Evaluated) -> str:
    return f"{one.windows} windows of {one.length} tokens of {one.text}"


def _interval(one: Evaluated) -> str:
    return "" if one.low is None else f", 95% from {words.number(one.low)} to {words.number(one.high)}"
