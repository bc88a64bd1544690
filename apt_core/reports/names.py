"""What the files of a run are called: the model, how it was pruned, and which run it was."""

from __future__ import annotations

import re
from collections.abc import Sequence

from apt_core.events.records import RunRecord
from apt_core.jobs import Job

_LONGEST = 60


def file_stem(record: RunRecord, title: str) -> str:
    """'smollm2-135m-instruct-apt-2-4-20261124-100000-abcd': without an ending; every run has its own."""
    return "-".join(filter(None, (slug(title), what_was_done(record.job), record.id)))


def stem_of_all(records: Sequence[RunRecord], titles: Sequence[str]) -> str:
    """That of the only run, or of several: 'smollm2-135m-instruct-3-runs-20261124-100000-abcd'."""
    if len(records) == 1:
        return file_stem(records[0], titles[0])
    model = slug(titles[0]) if len(set(titles)) == 1 else "models"
    return f"{model}-{len(records)}-runs-{records[0].id}"


def what_was_done(job: Job) -> str:
    """'apt-2-4', 'wanda-50pct', 'perplexity'."""
    return "-".join(map(slug, job.parts_of_name))


def slug(text: str) -> str:
    """Lower-case ASCII letters, digits and dashes, which every file system takes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST].strip("-")
