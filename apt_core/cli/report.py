"""A run as text for a person: what was done, what it cost, what it weighs."""

from __future__ import annotations

from collections.abc import Iterable

from apt_core.base import words
from apt_core.cli.output import table
from apt_core.cli.progress import describe, what
from apt_core.events import LayerPruned
from apt_core.events.projections import kind_of, parts_of
from apt_core.events.records import RunRecord
from apt_core.models.catalogue.entries import title_of


def report(record: RunRecord, checkpoint: str | None) -> str:
    """Everything known about a run; `checkpoint` is where its pruned weights lie now."""
    parts = [describe(record) if record.live else f"{what(record)} · run {record.id} · {record.status}"]
    if record.layers:
        parts.append(_layers(record.layers))
    parts.append(_figures(record, checkpoint))
    parts.append(_few_tokens(record.layers))
    parts += [f"Warning: {warning.message}" for warning in record.warnings]
    if record.failure:
        parts.append(record.failure.message)
    elif record.ratio is not None:
        parts.append(words.verdict_sentence(record, title_of(record.job.model.id)))
    return "\n\n".join(part for part in parts if part)


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
    """How many experts were pruned by statistics that are mostly noise; the warnings name them."""
    few = [layer for layer in layers if layer.few_tokens]
    if not few:
        return ""
    least = min(few, key=lambda layer: layer.tokens)
    return (
        f"{len(few)} expert matrices saw too few tokens to be pruned well (fewest: {least.tokens} for "
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
    lines = []
    if record.dense:
        lines.append(("Perplexity", _perplexity(record)))
    if record.dense_speed and record.pruned_speed:
        dense, pruned = record.dense_speed.tokens_per_second, record.pruned_speed.tokens_per_second
        if dense is not None and pruned is not None:
            lines.append(
                ("Speed", f"{words.number(dense)} dense, {words.number(pruned)} pruned tokens per second")
            )
    if record.finished:
        lines.append(("Time", words.duration(record.finished.seconds.get("total"))))
        lines.append(("Peak memory", words.size(record.finished.peak_rss_bytes)))
    if checkpoint:
        lines.append(("Weights", checkpoint))
    return "\n".join(f"{name:<12}{text}" for name, text in lines)


def _perplexity(record: RunRecord) -> str:
    dense, pruned = record.dense, record.pruned
    where = f"{dense.windows} windows of {dense.length} tokens of {dense.text}"
    where += "; dense measured once, reused" if dense.reused else ""
    if pruned is None:
        return f"{words.number(dense.perplexity)} dense ({where})"
    return (
        f"{words.number(dense.perplexity)} dense, {words.number(pruned.perplexity)} pruned, "
        f"{words.times(record.ratio)} ({where})"
    )
