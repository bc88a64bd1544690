"""The list of runs: what was asked, what came out, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from apt_core.base.words import DASH, STATUS_WORDS, duration, number, times
from apt_core.events.records import RunRecord
from apt_core.reports.run_words import has_numbers
from apt_core.studies.compare import MOST
from apt_core.ui.views.downloads import numbers_of
from apt_core.ui.views.html import Markup, join

_HEADS = ("Compare", "Status", "Model", "Method", "Pattern", "Perplexity", "Time", "Created", "What to do")

COMPARE_BAR = Markup(
    '<div class="compare-bar">'
    '<button type="button" class="quiet-button" data-action="compare" disabled>Compare</button>'
    '<span role="status">Tick two to {most} runs to compare them.</span></div>'
).format(most=MOST)


def runs_table(
    records: list[RunRecord],
    title_of: Callable[[RunRecord], str],
    now: float,
    has_weights: Callable[[str], bool] = lambda run_id: False,
) -> Markup:
    """Newest first. Every row opens by its link, also in a new tab; the buttons are plain buttons.

    has_weights: whether the pruned model of this run (id) can still be downloaded.
    """
    if not records:
        return Markup(
            '<p class="nothing">No runs yet. Choose a model under Explore and press Prune; '
            "the run stays here until you delete it.</p>"
        )
    heads = join(Markup('<th scope="col">{}</th>').format(head) for head in _HEADS)
    rows = join(_row(record, title_of(record), now, has_weights) for record in records)
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="Runs"><table class="runs"><caption class="sr">'
        "All runs, newest first</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(heads, rows)


def _row(record: RunRecord, title: str, now: float, has_weights: Callable[[str], bool]) -> Markup:
    return Markup(
        '<tr data-run="{id}" data-status="{status}"><td data-head="Compare" class="pick">'
        '<input type="checkbox" data-pick="{id}" aria-label="Compare: {title}, {label}, run {id}"></td>'
        '<td data-head="Status"><span class="state">{words}</span></td>'
        '<th scope="row" data-head="Model"><a href="?run={id}" data-action="open">{title}</a></th>'
        '<td data-head="Method">{method}</td><td data-head="Pattern">{pattern}</td>'
        '<td data-head="Perplexity" class="n">{perplexity}</td><td data-head="Time" class="n">{time}</td>'
        '<td data-head="Created">{created}</td>'
        '<td data-head="What to do" class="actions"><div>{actions}</div></td></tr>'
    ).format(
        id=record.id,
        status=record.status,
        words=STATUS_WORDS[record.status],
        title=title,
        label=record.job.label,
        method=record.job.labels[0],
        pattern=record.job.labels[1] or DASH,
        perplexity=_perplexity(record),
        time=_time(record, now),
        created=_created(record.created_at),
        actions=_downloads(record, title, has_weights) + _actions(record, title),
    )


def _perplexity(record: RunRecord) -> Markup:
    if "pruned" not in record.job.subjects:
        return Markup("{}").format(", ".join(number(one.perplexity) for one in record.evaluated) or DASH)
    if record.dense is None:
        return Markup("{}").format(DASH)
    pruned = number(record.pruned.perplexity) if record.pruned else DASH
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
    if record.live:
        return _button("cancel", "Stop", about)
    return Markup('{}<span class="confirm" hidden><span>Delete for good?</span>{}{}</span>').format(
        _button("ask-delete", "Delete", about),
        _button("delete", "Delete", about),
        _button("keep", "Keep", about),
    )


def _button(action: str, label: str, about: str) -> Markup:
    return Markup(
        '<button type="button" class="quiet-button" data-action="{}" aria-label="{}: {}">{}</button>'
    ).format(action, label, about, label)
