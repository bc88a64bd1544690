"""Looks at an allocation before a run: where their answers are kept, and what these depend on beside the question. No
torch."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from apt_core.base.errors import PruneError
from apt_core.base.paths import stamps_of
from apt_core.base.policy import HostPolicy
from apt_core.jobs import ModelRef
from apt_core.measure.inside.questions import AllocationQuestion
from apt_core.models.catalogue.entries import CATALOGUE, cached_folder
from apt_core.models.fetch import gguf, hub_cache
from apt_core.models.fetch.sources import checked_id, local_path
from apt_core.runs.store import Store
from apt_core.texts.sources import TEXTS

_WORK = "work-"


def folder_of(store: Store) -> Path:
    """Where answers are kept; no run's folder."""
    return store.root / "allocations"


@contextmanager
def work_folder(store: Store) -> Iterator[Path]:
    """A folder for what waits on the disk while a look is taken; what ended processes left there goes, too."""
    place = folder_of(store)
    for left in place.glob(f"{_WORK}*"):
        if not psutil.pid_exists(int(left.name.removeprefix(_WORK))):
            shutil.rmtree(left, ignore_errors=True)
    folder = place / f"{_WORK}{os.getpid()}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stamp_of(question: AllocationQuestion, store: Store, policy: HostPolicy) -> str | None:
    """The model's files and the text as they are now; None where that cannot be told, and nothing is to be kept: the
    model is not here yet, or the text is a dataset of the Hub."""
    text = _text_stamp(question)
    with contextlib.suppress(PruneError, OSError):
        folder = _model_folder(question.job.model, store, policy)
        if folder is not None and text is not None:
            said = repr([str(folder.resolve()), stamps_of(folder), text])
            return hashlib.sha256(said.encode()).hexdigest()
    return None


def _model_folder(model: ModelRef, store: Store, policy: HostPolicy) -> Path | None:
    if model.run is not None:
        return store.made_by(model.run).folder
    name = checked_id(model, policy)
    if name in CATALOGUE and model.revision is None:
        return cached_folder(name, policy)
    return (
        local_path(name, policy)
        or gguf.cached(name, model.revision, policy)
        or hub_cache.snapshot(name, model.revision, policy)
    )


def _text_stamp(question: AllocationQuestion) -> str | None:
    text = question.job.calibration.text
    if not question.reads_text or text in TEXTS:
        return ""
    if text.startswith("hub:"):
        return None
    try:
        return hashlib.sha256(Path(text).read_bytes()).hexdigest()
    except (OSError, ValueError):
        return None  # the look says what is wrong with it
