"""`studies/<id>/study.json`: which runs were asked for together. The file is the truth, the index finds it."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from pydantic import ValidationError

from apt_core.base.errors import BadInput, UnknownRun
from apt_core.jobs.schema import stored_context
from apt_core.jobs.study import Study
from apt_core.runs.ids import is_run_id

_FILE = "study.json"
_log = logging.getLogger(__name__)


def write(folder: Path, study: Study) -> None:
    (folder / study.id).mkdir(parents=True)
    rewrite(folder, study)


def rewrite(folder: Path, study: Study) -> None:
    """Put the study in the place of its earlier form, whole or not at all."""
    partial = folder / study.id / f"{_FILE}.part"
    partial.write_text(study.model_dump_json(indent=2), encoding="utf-8")
    os.replace(partial, folder / study.id / _FILE)


def read(folder: Path, study_id: str) -> Study:
    """Raises UnknownRun where there is none, BadInput where it cannot be read."""
    if not is_run_id(study_id):
        raise UnknownRun(f"There is no study {str(study_id)[:60]!r}.")
    try:
        text = (folder / study_id / _FILE).read_text(encoding="utf-8")
        return Study.model_validate_json(text, extra="ignore", context=stored_context())
    except FileNotFoundError as error:
        raise UnknownRun(f"There is no study {study_id}; it may have been deleted.") from error
    except (ValidationError, UnicodeDecodeError, OSError) as error:
        raise BadInput(f"Study {study_id} cannot be read by this version of the app.") from error


def read_all(folder: Path) -> list[Study]:
    """Every readable study, oldest first."""
    found = []
    for path in sorted(folder.glob("*")):
        if not is_run_id(path.name):
            continue
        try:
            found.append(read(folder, path.name))
        except BadInput as error:
            _log.warning("The folder %s is left alone: %s", path, error)
    return found


def remove(folder: Path, study_id: str) -> None:
    if is_run_id(study_id):
        shutil.rmtree(folder / study_id, ignore_errors=True)
