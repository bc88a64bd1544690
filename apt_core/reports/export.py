"""A pruned model as files to hand on: a plain folder with its card, or one GGUF file. Loads no torch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from apt_core.base.errors import PruneError
from apt_core.events.records import RunRecord
from apt_core.jobs import ModelRef
from apt_core.models.checkpoint import to_gguf
from apt_core.models.checkpoint.plain_files import as_plain
from apt_core.reports.model_card import CARD, FOLDER, model_card
from apt_core.reports.run_words import run_title
from apt_core.reports.writing import new_file, new_folder
from apt_core.runs.store import Store


class Exported(NamedTuple):
    """The model of a run, ready to be exported."""

    record: RunRecord
    title: str
    checkpoint: Path
    card: Callable[[str], str]  # from the place that `from_pretrained` opens to the model card


def exported(store: Store, run_id: str) -> Exported:
    """Raises BadInput with one sentence for a run that has no pruned weights (any more)."""
    record, made = store.get(run_id), store.made_by(run_id)
    known = reader_of(store)
    return Exported(record, run_title(record, known), made.folder, partial(card_of, record, known))


def card_of(record: RunRecord, known: Callable[[str], RunRecord | None], where: str = FOLDER) -> str:
    """The model card of what a run made; its base is the model that no run made. where: as of `model_card`."""
    root = root_record(record, known)
    stated = root.model.license if root.model else None
    title, uneven = run_title(record, known), is_uneven(record, known)
    return model_card(record, title, root.job.model.id, uneven, stated, where)


def is_uneven(record: RunRecord, known: Callable[[str], RunRecord | None]) -> bool:
    """Whether blocks of what the run made differ in width: as the last run of its line said that changed shapes."""
    if record.shrunk:
        return record.shrunk.uneven
    parent = known(record.made_from) if record.made_from else None
    return is_uneven(parent, known) if parent else False


def reader_of(store: Store) -> Callable[[str], RunRecord | None]:
    """Run id -> its record, None where it cannot be read (any more)."""

    def known(run_id: str) -> RunRecord | None:
        try:
            return store.get(run_id)
        except PruneError:
            return None

    return known


def root_model(record: RunRecord, known: Callable[[str], RunRecord | None]) -> ModelRef:
    """The model that no run made, at the beginning of the line; the nearest that is known."""
    return root_record(record, known).job.model


def root_record(record: RunRecord, known: Callable[[str], RunRecord | None]) -> RunRecord:
    """The run that began with that model."""
    parent = known(record.made_from) if record.made_from else None
    return root_record(parent, known) if parent else record


def write_folder(model: Exported, folder: Path, replace: bool = False) -> Path:
    """Weights, configuration, tokenizer and card; whole or not at all. Raises CannotWrite."""
    with (
        new_folder(folder, replace) as place,
        as_plain(model.checkpoint, place.with_suffix(".plain")) as source,
    ):
        for file in files_of(source):
            shutil.copy2(file, place / file.name)
        (place / CARD).write_text(model.card(FOLDER), encoding="utf-8")
    return folder


def write_gguf(model: Exported, file: Path, precision: str = "auto", replace: bool = False) -> Path:
    """One file for llama.cpp and others. Raises BadInput for an architecture that has no GGUF form here."""
    with new_file(file, replace) as place, as_plain(model.checkpoint, place.with_suffix(".plain")) as source:
        to_gguf.write(source, place, f"{model.title} {model.record.job.label}", precision)
    return file


def files_of(folder: Path) -> list[Path]:
    """What makes a plain folder a model."""
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.is_symlink())
