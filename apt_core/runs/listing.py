"""What lists know of a run: the fold of its log, cut down to what one searches, filters and sorts by."""

from __future__ import annotations

from apt_core.base.words import STATUS_WORDS, file_title
from apt_core.events.records import RunRecord, public_name
from apt_core.models.catalogue.entries import title_of
from apt_core.runs.query import Listed
from apt_core.texts.sources import TEXTS
from apt_core.texts.titles import text_title


def listed(record: RunRecord) -> Listed:
    """What lists know of this run."""
    made = record.made
    title = record.model.title if record.model else title_of(record.job.model.id)
    return Listed(
        id=record.id,
        kind=record.job.kind,
        status=record.status,
        created_at=record.created_at or 0.0,
        model=record.job.model.id,
        title=title,
        words=_words(record, title),
        method=record.job.labels[0],
        perplexity=made.perplexity if made else None,
        ratio=record.ratio,
        seconds=record.ended_at - record.started_at if record.ended_at and record.started_at else None,
    )


def _words(record: RunRecord, title: str) -> str:
    """Texts by their titles: whoever knows the hash in front of a visitor's file could use the text."""
    job = record.job
    asked = [one.text for one in (*job.reads, *job.evaluation)]
    texts = [*map(text_title, asked), *(text for text in asked if text in TEXTS)]
    model = (title, title_of(job.model.id), public_name(job.model.id))
    method = (str(job.request(file_title).get("method") or ""), *job.labels)
    said = (record.id, job.title, STATUS_WORDS[record.status], record.status)
    return "\n".join((*model, *method, *texts, *said)).casefold()
