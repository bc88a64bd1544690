"""What was seen inside runs, kept as files of their folders: recalled by the same question, the oldest make room."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from itertools import product
from pathlib import Path

from apt_core.measure.inside.questions import FORMAT, Answer, LayerQuestion, Question, answer_adapter
from apt_core.measure.inside.values import LayerInside

KEPT_IN = "inside"
MOST_KEPT = 200  # answers of a run; one takes 20 to 60 kB
_log = logging.getLogger(__name__)


def recall(folder: Path, question: Question, stamp: str = "") -> Answer | None:
    """What was kept of the same question; None when nothing was, or when it cannot be read (any more)."""
    try:
        return answer_adapter.validate_json(_file(folder, question, stamp).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        _log.warning("A kept look inside cannot be read and is taken again: %s", error)
        return None


def keep(folder: Path, question: Question, answer: Answer, stamp: str = "") -> None:
    """Whole or not at all, and the oldest make room. A full disk costs the next asker time, not this one the answer."""
    file = _file(folder, question, stamp)
    partial = file.with_suffix(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=bool(stamp), exist_ok=True)  # not that of a run that is gone
        partial.write_text(answer.model_dump_json(), encoding="utf-8")
        os.replace(partial, file)
        kept = sorted(file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for old in kept[:-MOST_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("A look inside could not be kept: %s", error)
        with contextlib.suppress(OSError):
            partial.unlink()


def _file(folder: Path, question: Question, stamp: str) -> Path:
    asked = json.dumps([FORMAT, question.model_dump(), *filter(None, [stamp])], sort_keys=True)
    return folder / KEPT_IN / f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.json"


def keeps_a_layer(folder: Path) -> bool:
    """Whether anything that was seen inside a layer of a run is still recalled. folder: of the run."""
    return any(_is_a_layer(file, folder) for file in (folder / KEPT_IN).glob("*.json"))


def _is_a_layer(file: Path, folder: Path) -> bool:
    try:
        seen = answer_adapter.validate_json(file.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(seen, LayerInside) and any(_file(folder, one, "") == file for one in _asked_for(seen))


def _asked_for(seen: LayerInside) -> list[LayerQuestion]:
    """The questions that this may be the answer to."""
    rows = (None, seen.worked.row) if seen.worked else (None,)
    return [
        LayerQuestion(run=seen.run, block=seen.block, layer=seen.layer, row=row, inputs=inputs)
        for row, inputs in product(rows, (False, True))
    ]
