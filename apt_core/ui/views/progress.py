"""Where a run is: the sentence, the steps, the bar, the time left. One function per state."""

from __future__ import annotations

from collections.abc import Sequence

from apt_core.base.words import duration, left, percent, place_in_line, sentence, size, tally
from apt_core.events import Progress
from apt_core.events.records import RunRecord
from apt_core.reports.run_words import run_title
from apt_core.ui.views.html import Markup, folded, join

_STOPPING = {
    "prune": "Stopping after this layer.",
    "train": "Stopping after this step.",
    "search": "Stopping after this candidate.",
    "evaluate": "Stopping after this window.",
}


def status_block(
    record: RunRecord,
    title: str,
    now: float,
    position: int | None = None,
    ahead: Sequence[RunRecord] = (),
) -> Markup:
    """The live part of the page; empty once a run is over and well. ahead: what runs or waits before this one."""
    if record.status == "queued":
        return _block(record, _in_line(record, position, ahead, now), _waiting_note(record, now))
    if record.status == "stopping":
        what = (
            "Stopping the download." if _is_download(record) else _STOPPING.get(_stage(record), "Stopping.")
        )
        return _block(record, what, "What was done so far is kept.", bar=_fraction(record))
    if record.status == "running":
        return _block(
            record,
            where(record, title),
            _when(record, now),
            bar=_fraction(record),
            steps=True,
            more=_files(record),
        )
    if record.status == "cancelled":
        return _block(record, _stopped(record), _kept(record))
    if record.status == "failed":
        return _failed(record)
    return Markup("")


def _in_line(record: RunRecord, position: int | None, ahead: Sequence[RunRecord], now: float) -> str:
    """'Waiting in line: SmolLM2 135M · APT · 2:4 is ahead (about 40 s left), and one more.' What another
    visitor runs is not named."""
    if not ahead:
        return place_in_line(position)
    first, more = ahead[0], len(ahead) - 1
    name = f"{run_title(first, lambda run_id: None)} · {first.job.label}"
    name = name if first.owner == record.owner else "another visitor's run"
    time_left = f" ({said})" if (said := left(remaining(first, now))) else ""
    others = f", and {tally(more)} more" if more else ""
    return f"Waiting in line: {name} is ahead{time_left}{others}."


def where(record: RunRecord, title: str) -> str:
    """The running stage in words: 'Pruning block 12 of 30'."""
    progress, model = record.progress, record.model
    if progress is None:
        return f"Loading {title}"
    stage = progress.stage
    if _is_download(record):
        return f"Fetching {progress.detail or title}{_of_bytes(progress.done, progress.total)}"
    if stage == "cluster":
        return "Waiting for a node of the cluster"
    if stage == "convert":
        return f"Converting {title} once, for this and every later run"
    if stage == "evaluate":
        return f"Reading {_text_now(record, progress)}: window {_step(progress)}"
    if stage == "calibrate":
        return "Preparing the calibration text"
    if stage == "prune":
        return f"Pruning block {_block_now(record)} of {model.blocks if model else int(progress.total)}"
    if stage == "train":
        return f"Training: step {_step(progress)}"
    if stage == "search":
        return f"Searching: {progress.detail}"
    if stage == "save":
        return f"Writing the {record.job.done} weights"
    if stage == "answer":
        return f"The {progress.subject} model answers the standard question"
    if stage == "measure":
        return f"Measuring how fast the {progress.subject or ''} model writes".replace("  ", " ")
    if stage == "tasks":
        return f"Doing zero-shot tasks: {progress.detail}"
    return f"Loading {title}"


def _text_now(record: RunRecord, progress: Progress) -> str:
    """'the text with the dense model', 'the same text with the pruned model', 'text 2 of 3'."""
    subject, texts = progress.subject, len(record.job.evaluation)
    place = len(record.evaluated_on(subject)) + 1 if subject else 1
    again = subject in ("pruned", "recovered", "start")
    which = f"text {place} of {texts}" if texts > 1 else "the same text" if again else "the text"
    model = {"before": "pruned", "start": "uniform"}.get(subject or "", subject)
    return f"{which} with the {model} model" if len(record.job.subjects) > 1 else which


def remaining(record: RunRecord, now: float) -> float | None:
    """Seconds to the end, from this run's own pace; None while there is none to go by."""
    progress = record.progress
    if progress is None or record.model is None or record.stage_started_at is None:
        return None
    spent = max(now - record.stage_started_at, 0.0)
    after = record.dense.seconds if record.dense else 0.0  # the pruned model reads the same text
    if progress.stage == "prune" and record.layers:
        done = len(record.layers)
        return spent * (record.model.total_layers - done) / done + after
    if progress.stage == "evaluate" and progress.subject == "pruned" and record.dense:
        return max(record.dense.seconds - spent, 0.0)
    if progress.stage == "train" and record.training and progress.done > record.training.step:
        trained = progress.done - record.training.step
        return spent * (progress.total - progress.done) / trained + after
    if progress.stage == "search" and record.search and not record.search.generation and progress.done:
        return spent * (progress.total - progress.done) / progress.done + 2 * after
    if progress.stage in ("save", "measure") and record.layers:
        return after if record.pruned is None else 2.0
    return None


def _block(
    record: RunRecord,
    sentence_: str,
    note: str,
    bar: float | None = None,
    steps: bool = False,
    more: Markup = Markup(""),  # noqa: B008 - immutable
) -> Markup:
    return Markup(
        '<section class="status" data-status="{}" aria-label="Progress">{}'
        '<p class="where" role="status" aria-live="polite">{}</p>{}<p class="when">{}</p>{}</section>'
    ).format(
        record.status,
        _steps(record) if steps else "",
        sentence_,
        progress_bar(bar) if bar is not None else "",
        note,
        more,
    )


def progress_bar(fraction: float) -> Markup:
    """How much of one step is done."""
    whole = round(100 * fraction)
    return Markup(
        '<div class="bar" role="progressbar" aria-label="This step" aria-valuemin="0" aria-valuemax="100" '
        'aria-valuenow="{}"><span style="width:{}%"></span></div>'
    ).format(whole, f"{100 * fraction:.1f}")


def _files(record: RunRecord) -> Markup:
    """Every file of a download with its bytes."""
    if record.progress is None or not _is_download(record) or not record.progress.files:
        return Markup("")
    return Markup('<ul class="files" aria-label="Files">{}</ul>').format(
        join(
            Markup('<li data-done="{}"><span>{}</span><span>{}</span>{}</li>').format(
                "yes" if file.done >= file.total else "no",
                file.name,
                size(file.total) if file.done >= file.total else f"{size(file.done)} of {size(file.total)}",
                Markup('<i style="width:{:.1f}%"></i>').format(100 * file.done / max(file.total, 1)),
            )
            for file in record.progress.files
        )
    )


def _stage(record: RunRecord) -> str:
    return record.progress.stage if record.progress else ""


def _is_download(record: RunRecord) -> bool:
    """Whether something is still to come; what follows is said only when the model has been loaded."""
    progress = record.progress
    return progress is not None and progress.stage == "download" and progress.done < progress.total


def _kept(record: RunRecord) -> str:
    if _is_download(record):
        return "What has been downloaded is kept; the next run of this model goes on from there."
    return "What was done so far is kept and shown below."


def _steps(record: RunRecord) -> Markup:
    current = _current_step(record)
    return Markup('<ol class="steps">{}</ol>').format(
        join(
            Markup('<li class="{}"{}>{}</li>').format(
                "done" if place < current else "now" if place == current else "todo",
                Markup(' aria-current="step"') if place == current else "",
                name,
            )
            for place, (name, _) in enumerate(record.job.steps)
        )
    )


def _current_step(record: RunRecord) -> int:
    """The step to which the stage belongs; the first before there is one."""
    progress = record.progress
    stage = progress.stage if progress else "load"
    wanted = {stage, f"{stage}:{progress.subject}" if progress else stage}
    return next((place for place, step in enumerate(record.job.steps) if wanted & set(step.stages)), 0)


def _fraction(record: RunRecord) -> float | None:
    """Of this step; None while there is nothing to count."""
    progress = record.progress
    if progress and progress.stage == "prune" and record.model:
        return len(record.layers) / record.model.total_layers
    if progress and progress.total:
        return min(progress.done / progress.total, 1.0)
    return None


def _when(record: RunRecord, now: float) -> str:
    since = record.started_at or record.created_at
    parts = [
        _layer_now(record),
        f"{duration(max(now - since, 0.0))} so far" if since else "",
        left(remaining(record, now)),
    ]
    return " · ".join(part for part in parts if part)


def _layer_now(record: RunRecord) -> str:
    if record.progress is None or record.progress.stage != "prune" or record.model is None:
        return ""
    done = f"{len(record.layers)} of {record.model.total_layers} layers"
    return f"{done}, last {record.layers[-1].layer}" if record.layers else done


def _block_now(record: RunRecord) -> int:
    return int(record.progress.done) + 1 if record.progress else 1


def _step(progress) -> str:
    return f"{min(int(progress.done) + 1, int(progress.total))} of {int(progress.total)}"


def _of_bytes(done: float, total: float) -> str:
    return f": {size(done)} of {size(total)}" if total > 1000 else ""


def _waiting_note(record: RunRecord, now: float) -> str:
    waited = f"{duration(now - record.created_at)} so far. " if record.created_at else ""
    return (
        f"{waited}One run at a time uses this machine; yours starts in its turn, and you may close this page."
    )


def _stopped(record: RunRecord) -> str:
    progress = record.progress
    if progress and _is_download(record):
        return f"The download was stopped after {size(progress.done)} of {size(progress.total)}."
    if record.training is not None:
        reached = record.steps[-1].step if record.steps else record.training.step
        return f"Stopped after step {reached} of {record.training.steps}."
    if record.search is not None:
        reached = record.generations[-1].number if record.generations else record.search.generation
        return f"Stopped after generation {reached} of at most {record.search.generations}."
    if "pruned" not in record.job.subjects:
        return f"Stopped after {len(record.evaluated)} of {len(record.job.evaluation)} texts."
    if record.model is None or not record.layers:
        return "Stopped before any layer was pruned."
    share = percent(len(record.layers) / record.model.total_layers)
    return f"Stopped after {len(record.layers)} of {record.model.total_layers} layers ({share})."


def _failed(record: RunRecord) -> Markup:
    failure = record.failure
    message = sentence(failure.message) if failure else "The run ended without a message."
    kept = f"{len(record.layers)} layers were pruned before; they are shown below." if record.layers else ""
    return Markup(
        '<section class="status" data-status="failed"><p class="where" role="alert">{}</p>'
        '<p class="when">{}</p>{}</section>'
    ).format(message, kept, folded("Details", failure.detail) if failure and failure.detail else "")
