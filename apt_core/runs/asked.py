"""What people asked the models of a run, kept in the run's folder: `asked.jsonl`, a question and its answers a line. No
torch."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from apt_core.events import Answers

_FILE = "asked.jsonl"
MOST_KEPT = 20  # of a run, the newest
_log = logging.getLogger(__name__)


def asked(folder: Path) -> tuple[Answers, ...]:
    """The questions and answers of this run, the newest last; a line that cannot be read is left out and logged."""
    try:
        lines = (folder / _FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        try:
            found.append(Answers.model_validate_json(line))
        except ValueError:
            _log.warning("An answer in %s cannot be read and is left out.", folder / _FILE)
    return tuple(found)


def keep(folder: Path, answers: Answers) -> None:
    """Whole or not at all; the oldest make room, and the same question asked again takes the place of the first. A full
    disk costs what is kept, not the answer that is on the screen."""
    file, partial = folder / _FILE, folder / f".{_FILE}.{os.getpid()}.part"
    others = [one for one in asked(folder) if one.question != answers.question]
    try:
        lines = [f"{one.model_dump_json()}\n" for one in [*others, answers][-MOST_KEPT:]]
        partial.write_text("".join(lines), encoding="utf-8")
        os.replace(partial, file)
    except OSError as error:
        _log.warning("An answer could not be kept: %s", error)
    finally:
        partial.unlink(missing_ok=True)
