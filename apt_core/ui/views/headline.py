"""The verdict and the three figures: what somebody sees from three metres away."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from apt_core.base.words import (
    DASH,
    count,
    duration,
    number,
    percent,
    sentence,
    size,
    times,
    verdict,
    verdict_sentence,
)
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.texts.sources import TEXTS
from apt_core.ui.views.html import Markup, join, term


def headline(record: RunRecord, title: str, samples: Sequence[tuple[str, str]] = ()) -> Markup:
    """The sentence of the run, whatever its state, and under it what was asked for.

    samples: (id, title) of all recorded samples; a sample links to the others.
    """
    return Markup(
        '<header class="headline" data-band="{}">{}<h2>{}</h2><p class="asked">{}</p>{}{}</header>'
    ).format(
        _band(record),
        _badge(record),
        _title(record, title),
        asked(record, title),
        _conditions(record),
        _others(record, samples),
    )


def asked(record: RunRecord, title: str) -> str:
    """'SmolLM2 135M · APT · 2:4 · 32 × 512 tokens of Wikipedia summaries · seed 0'."""
    recipe = record.job
    if not isinstance(recipe, Prune):
        return f"{title} · {recipe.label}"
    text = recipe.calibration
    read = f"{text.samples} × {text.length} tokens of {text_title(text.text)}"
    return " · ".join((title, recipe.label, read, f"seed {recipe.seed}"))


def figures(record: RunRecord) -> Markup:
    """Perplexity, weights removed, time and memory; a dash where nothing is known yet."""
    return Markup('<div class="figures">{}</div>').format(
        join((_perplexity(record), _removed(record), _cost(record)))
    )


def _measured(record: RunRecord, title: str) -> str:
    """The sentence of a run that made nothing."""
    found = record.evaluated_on("model")
    if record.status == "finished" and found:
        each = ", ".join(f"{number(one.perplexity)} on {text_title(one.text)}" for one in found)
        return f"{title} has a perplexity of {each}."
    ends = {"failed": "could not be measured to the end.", "cancelled": "was stopped on the way."}
    going = {"queued": "is waiting to be measured.", "stopping": "is being stopped."}
    return f"{title} {(ends | going).get(record.status, 'is being measured.')}"


def _title(record: RunRecord, title: str) -> str | Markup:
    if not isinstance(record.job, Prune):
        return _measured(record, title)
    if record.status == "finished" and record.ratio is not None:
        before, words, after = verdict_sentence(record, title).partition(verdict(record.ratio))
        return Markup("{}<em>{}</em>{}").format(before, words, after)
    if record.status == "finished":
        return verdict_sentence(record, title)
    if record.status == "failed":
        return f"{title} could not be pruned to the end."
    if record.status == "cancelled":
        return f"{title} was stopped on the way."
    if record.status == "queued":
        return f"{title} is waiting to be pruned."
    if record.status == "stopping":
        return f"{title} is being stopped."
    return f"{title} is being pruned."


def _band(record: RunRecord) -> str:
    if record.status == "finished" and record.ratio is not None:
        return verdict(record.ratio).replace(" ", "-")
    return record.status


def _badge(record: RunRecord) -> Markup:
    if record.id.startswith("sample-"):
        return Markup('<p class="badge">Recorded sample</p>')
    return Markup("")


def _others(record: RunRecord, samples: Sequence[tuple[str, str]]) -> Markup:
    """Links from one recorded sample to the rest."""
    if not record.id.startswith("sample-") or len(samples) < 2:
        return Markup("")
    links = [
        Markup('<strong aria-current="page">{}</strong>').format(title)
        if run_id == record.id
        else Markup('<a href="?run={}">{}</a>').format(run_id, title)
        for run_id, title in samples
    ]
    return Markup('<nav class="samples" aria-label="Recorded samples"><span>Recorded</span>{}</nav>').format(
        join(links)
    )


def _conditions(record: RunRecord) -> Markup:
    if record.conditions:
        return Markup('<p class="conditions">{}</p>').format(sentence(record.conditions))
    if record.ended_at and record.model:
        when = datetime.fromtimestamp(record.ended_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return Markup('<p class="conditions">{} · {} · {}</p>').format(
            when, record.model.hardware, record.model.dtype
        )
    return Markup("")


def _figure(name: str | Markup, value: str | Markup, note: str) -> Markup:
    return Markup(
        '<div class="figure"><p class="name">{}</p><p class="value">{}</p><p class="note">{}</p></div>'
    ).format(name, value, note)


def _perplexity(record: RunRecord) -> Markup:
    dense = number(record.dense.perplexity) if record.dense else DASH
    pruned = number(record.pruned.perplexity) if record.pruned else DASH
    value = Markup(
        '<span class="dense"><span class="sr">dense </span>{}</span><span class="arrow" aria-hidden="true">→</span>'
        '<span class="pruned"><span class="sr">pruned </span>{}</span>'
    ).format(dense, pruned)
    note = f"{times(record.ratio)} as high; lower is better" if record.ratio else "dense → pruned"
    return _figure(term("perplexity", "Perplexity"), value, note)


def _removed(record: RunRecord) -> Markup:
    if not record.layers:
        return _figure(
            term("sparsity", "Weights removed"), DASH, "of the linear layers in the decoder blocks"
        )
    removed = sum(layer.removed for layer in record.layers)
    weights = sum(layer.shape[0] * layer.shape[1] for layer in record.layers)
    note = f"{count(removed)} of {count(weights)} in {len(record.layers)} layers"
    if record.finished and record.finished.parameters:
        note += f"; {percent(removed / record.finished.parameters)} of the whole model"
    return _figure(term("sparsity", "Weights removed"), percent(record.sparsity), note)


def _cost(record: RunRecord) -> Markup:
    if record.finished is None:
        return _figure("Time and memory", DASH, "in all, with both perplexities")
    seconds = record.finished.seconds
    value = Markup('{}<span class="aside">{}</span>').format(
        duration(seconds.get("total")), size(record.finished.peak_rss_bytes)
    )
    pruning = f"{duration(seconds.get('prune'))} of it pruning; " if "prune" in seconds else ""
    return _figure("Time and memory", value, f"{pruning}memory at its peak")


def text_title(text: str) -> str:
    """A text as people call it: its title, or the file's name without the folder and the hash before it."""
    if text in TEXTS:
        return TEXTS[text].title
    return re.sub(r"^[0-9a-f]{12}-", "", text.replace("\\", "/").rsplit("/", 1)[-1]) if "/" in text else text
