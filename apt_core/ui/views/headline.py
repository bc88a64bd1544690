"""The verdict and the three figures: what somebody sees from three metres away."""

from __future__ import annotations

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
from apt_core.events import Evaluated
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.texts.titles import text_title
from apt_core.ui.views.html import Markup, join, term

_PERPLEXITY = term("perplexity", "Perplexity")


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
    job = record.job
    read = [f"{text.samples} × {text.length} tokens of {text_title(text.text)}" for text in job.reads]
    seed = [f"seed {job.seed}"] if isinstance(job, Prune) else []
    return " · ".join((title, job.label, *read, *seed))


def figures(record: RunRecord) -> Markup:
    """Perplexity, weights removed, time and memory; a dash where nothing is known yet."""
    removed = (_removed(record),) if _prunes(record) else ()
    return Markup('<div class="figures">{}</div>').format(
        join((_perplexity(record), *removed, _cost(record)))
    )


def _title(record: RunRecord, title: str) -> str | Markup:
    if record.status == "finished" and record.ratio is not None:
        before, words, after = verdict_sentence(record, title).partition(verdict(record.ratio))
        return Markup("{}<em>{}</em>{}").format(before, words, after)
    if record.status == "finished":
        return verdict_sentence(record, title) if _prunes(record) else _measured(record, title)
    done = record.job.done
    return {
        "failed": f"{title} could not be {done} to the end.",
        "cancelled": f"{title} was stopped on the way.",
        "queued": f"{title} is waiting to be {done}.",
        "stopping": f"{title} is being stopped.",
    }.get(record.status, f"{title} is being {done}.")


def _prunes(record: RunRecord) -> bool:
    """Whether this kind of job makes a model of a model, so that two are compared."""
    return "pruned" in record.job.subjects


def _measured(record: RunRecord, title: str) -> str:
    """'SmolLM2 has a perplexity of 14.9 on Wikipedia summaries.'"""
    if not record.evaluated:
        return f"{title} was not measured."
    first, *more = record.evaluated
    if not more:
        return f"{title} has a perplexity of {number(first.perplexity)} on {text_title(first.text)}."
    known = sorted(one.perplexity for one in record.evaluated)
    ends = dict.fromkeys(
        number(perplexity) for perplexity in (known[0], known[-1])
    )  # once, where they are alike
    return f"{title} has a perplexity of {' to '.join(ends)} on {len(known)} texts."


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
    """One number for each model that is measured, an arrow between them, on the first text."""
    first = {subject: next(iter(record.evaluated_on(subject)), None) for subject in record.job.subjects}
    arrow = Markup('<span class="arrow" aria-hidden="true">→</span>')
    value = join((_side(subject, one) for subject, one in first.items()), arrow)
    if record.ratio:
        return _figure(_PERPLEXITY, value, f"{times(record.ratio)} as high; lower is better")
    one = next(iter(first.values()))
    alone = len(first) == 1
    return _figure(_PERPLEXITY, value, _interval(one) if one and alone else " → ".join(first))


def _side(subject: str, one: Evaluated | None) -> Markup:
    shown = number(one.perplexity) if one else DASH
    if subject == "model":
        return Markup("<span>{}</span>").format(shown)
    return Markup('<span class="{}"><span class="sr">{} </span>{}</span>').format(subject, subject, shown)


def _interval(one: Evaluated) -> str:
    where = f"on {text_title(one.text)}"
    if one.low is None or one.high is None:
        return where
    return f"{where}; {number(one.low)} to {number(one.high)} with 95% confidence"


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
        return _figure("Time and memory", DASH, "in all, with everything that is measured")
    seconds = record.finished.seconds
    value = Markup('{}<span class="aside">{}</span>').format(
        duration(seconds.get("total")), size(record.finished.peak_rss_bytes)
    )
    pruning = f"{duration(seconds.get('prune'))} of it pruning; " if "prune" in seconds else ""
    return _figure("Time and memory", value, f"{pruning}memory at its peak")
