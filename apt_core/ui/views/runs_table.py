"""The list of runs: what was asked, what came out, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from apt_core.base.words import DASH, STATUS_WORDS, duration, number, times
from apt_core.events.records import RunRecord
from apt_core.reports.run_words import has_numbers
from apt_core.runs.labels import NONE, Labels
from apt_core.texts.titles import text_title
from apt_core.ui.views.downloads import numbers_of
from apt_core.ui.views.html import Markup, join

_HEADS = (
    "Tick",
    "Status",
    "Model",
    "Method",
    "Pattern",
    "Perplexity",
    "Read",
    "Time",
    "Created",
    "What to do",
)


def runs_table(
    records: list[RunRecord],
    title_of: Callable[[RunRecord], str],
    now: float,
    has_weights: Callable[[str], bool] = lambda run_id: False,
    labels: Mapping[str, Labels] | None = None,
    searched: bool = False,
) -> Markup:
    """In the order given. Every row opens by its link, also in a new tab; the buttons are plain buttons.

    has_weights: whether the pruned model of this run (id) can still be downloaded. searched: whether there are runs
    beside these, so that none means none found.
    """
    if not records:
        return Markup('<p class="nothing">{}</p>').format(_NOTHING_FOUND if searched else _NOTHING_YET)
    heads = join(Markup('<th scope="col">{}</th>').format(head) for head in _HEADS)
    written = labels or {}
    rows = join(
        _row(record, title_of(record), now, has_weights, written.get(record.id, NONE)) for record in records
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="Runs"><table class="runs"><caption class="sr">'
        "Runs</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(heads, rows)


_NOTHING_YET = (
    "No runs yet. Choose a model under Explore and press Prune; the run stays here until you delete it."
)
_NOTHING_FOUND = "No run is like that. Search for less, or choose Any."


def _row(
    record: RunRecord,
    title: str,
    now: float,
    has_weights: Callable[[str], bool],
    labels: Labels,
) -> Markup:
    return Markup(
        '<tr data-run="{id}" data-status="{status}" {written}><td data-head="Tick" class="pick">'
        '<input type="checkbox" data-pick="{id}" aria-label="Tick: {title}, {label}, run {id}"></td>'
        '<td data-head="Status"><span class="state">{words}</span></td>'
        '<th scope="row" data-head="Model">{called}</th>'
        '<td data-head="Method">{method}</td><td data-head="Pattern">{pattern}</td>'
        '<td data-head="Perplexity" class="n">{perplexity}</td><td data-head="Read" class="read">{read}</td>'
        '<td data-head="Time" class="n">{time}</td><td data-head="Created" class="created">{created}</td>'
        '<td data-head="What to do" class="actions"><div>{actions}</div></td></tr>'
    ).format(
        id=record.id,
        status=record.status,
        written=_written(labels),
        words=STATUS_WORDS[record.status],
        title=title,
        label=record.job.label,
        called=_called(record, title, labels),
        method=record.job.labels[0],
        pattern=record.job.labels[1] or DASH,
        perplexity=_perplexity(record),
        read=_read(record),
        time=_time(record, now),
        created=_created(record.created_at),
        actions=_actions(record, title) + _downloads(record, title, has_weights),
    )


def _written(labels: Labels) -> Markup:
    """What the dialog of the page begins with."""
    return Markup('data-name="{}" data-tags="{}" data-note="{}" data-pinned="{}"').format(
        labels.name, ", ".join(labels.tags), labels.note, "yes" if labels.pinned else "no"
    )


def _called(record: RunRecord, title: str, labels: Labels) -> Markup:
    """The name that somebody gave it above its model, tags and note below."""
    link = Markup('<a href="?run={}" data-action="open">{}</a>').format(record.id, labels.name or title)
    parts = [link, Markup('<span class="tag pin">pinned</span>') if labels.pinned else Markup("")]
    parts += [Markup('<small class="of">{}</small>').format(title)] if labels.name else []
    parts += [Markup('<span class="tag">{}</span>').format(tag) for tag in labels.tags]
    parts += [Markup('<small class="note">{}</small>').format(labels.note)] if labels.note else []
    return join(parts, " ").strip()


def _read(record: RunRecord) -> str:
    """Which texts, how much of them, drawn how: what tells runs of one recipe from one another."""
    job = record.job
    texts = list(dict.fromkeys(text_title(one.text) for one in (*job.reads, *job.evaluation)))
    read = job.calibrated_on
    if read is None:
        return ", ".join(texts)
    return f"{', '.join(texts)} · {read.samples}\u00a0×\u00a0{read.length} · seed {job.drawn_by}"


def _perplexity(record: RunRecord) -> Markup:
    if len(record.job.subjects) == 1:
        return Markup("{}").format(", ".join(number(one.perplexity) for one in record.evaluated) or DASH)
    if record.dense is None:
        return Markup("{}").format(DASH)
    pruned = number(record.made.perplexity) if record.made else DASH
    return Markup('<span class="dense">{}</span> → <span class="pruned">{}</span>{}').format(
        number(record.dense.perplexity),
        pruned,
        Markup(" <small>{}</small>").format(times(record.ratio)) if record.ratio else "",
    )


def _time(record: RunRecord, now: float) -> str:
    if record.started_at is None:
        return DASH
    return duration((record.ended_at or now) - record.started_at)


def _created(at: float | None) -> Markup:
    """UTC, with the machine-readable time that the page's script turns into the reader's own."""
    if at is None:
        return Markup("{}").format(DASH)
    moment = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"), moment.strftime("%Y-%m-%d %H:%M UTC")
    )


def _downloads(record: RunRecord, title: str, has_weights: Callable[[str], bool]) -> Markup:
    """The same files as under a run: numbers as soon as there are some, weights once they are whole."""
    files = [(address, label.rsplit(", ", 1)[-1]) for address, label in numbers_of(record)[:2]]
    files = files if has_numbers(record) else []
    if record.status == "finished" and has_weights(record.id):
        files.append((f"studio/runs/{record.id}/model.zip", "safetensors"))
    about = f"{title}, {record.job.label}"
    return join(
        Markup('<a class="quiet-button" href="{}" aria-label="Download {}: {}" download>{}</a>').format(
            address, label, about, label
        )
        for address, label in files
    )


def _actions(record: RunRecord, title: str) -> Markup:
    about = f"{title}, {record.job.label}"
    label = _button("label", "Label", about)
    if record.live:
        return label + _button("cancel", "Stop", about)
    return label + Markup('{}<span class="confirm" hidden><span>Delete it?</span>{}{}</span>').format(
        _button("ask-delete", "Delete", about),
        _button("delete", "Delete", about),
        _button("keep", "Keep", about),
    )


def _button(action: str, label: str, about: str) -> Markup:
    return Markup(
        '<button type="button" class="quiet-button" data-action="{}" aria-label="{}: {}">{}</button>'
    ).format(action, label, about, label)
