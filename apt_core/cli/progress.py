"""Where a run is, on standard error: one changing line in a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from apt_core.base import words
from apt_core.events import Progress
from apt_core.events.records import RunRecord
from apt_core.models.catalogue.entries import title_of

_PLAIN_EVERY_SECONDS = 5.0
_STAGES = {
    "cluster": "Waiting for a node",
    "download": "Downloading",
    "convert": "Converting",
    "load": "Loading",
    "evaluate": "Perplexity",
    "calibrate": "Calibrating",
    "prune": "Pruning",
    "train": "Training",
    "search": "Searching",
    "save": "Saving",
    "answer": "Answering",
    "measure": "Measuring speed",
    "tasks": "Zero-shot tasks",
}


class ProgressLine:
    """Draws records as they come; `say` puts a lasting line above the changing one."""

    def __init__(self, out: TextIO | None = None):
        self._out = out or sys.stderr
        self._in_terminal = self._out.isatty()
        self._drawn = ""
        self._stage = ""
        self._drawn_at = float("-inf")

    def draw(self, record: RunRecord, position: int | None = None) -> None:
        """`position` is the run's place in the queue while it waits."""
        stage = record.progress.stage if record.progress else record.status
        self.show(describe(record, position), stage)

    def show(self, line: str, stage: str) -> None:
        """Outside a terminal a line is written when the stage changes, and now and then."""
        if self._in_terminal:
            if line != self._drawn:
                width = shutil.get_terminal_size().columns - 1
                self._out.write(f"\r\x1b[K{line[:width]}")
                self._out.flush()
                self._drawn = line
            return
        due = time.monotonic() - self._drawn_at >= _PLAIN_EVERY_SECONDS
        if line != self._drawn and (due or stage != self._stage):
            self._out.write(f"{line}\n")
            self._out.flush()
            self._drawn, self._stage, self._drawn_at = line, stage, time.monotonic()

    def say(self, text: str) -> None:
        self.clear()
        self._out.write(f"{text}\n")
        self._out.flush()

    def clear(self) -> None:
        if self._in_terminal and self._drawn:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._drawn = ""


def describe(record: RunRecord, position: int | None = None) -> str:
    """One line: 'SmolLM2 135M · APT · 2:4 · Pruning, 34 of 210 layers, about 40 s left'."""
    return f"{what(record)} · {_where(record, position)}"


def what(record: RunRecord) -> str:
    """'SmolLM2 135M · APT · 2:4'."""
    title = record.model.title if record.model else title_of(record.job.model.id)
    return f"{title} · {record.job.label}"


def _where(record: RunRecord, position: int | None) -> str:
    if record.status == "queued":
        return "waiting" if position is None else f"waiting, number {position} in the queue"
    if not record.live or record.status == "stopping":
        return record.status
    if record.progress is None:
        return "starting"
    if record.progress.stage == "prune" and record.model:
        done, total = len(record.layers), record.model.total_layers
        return ", ".join(filter(None, ("Pruning", f"{done} of {total} layers", _left(record, done, total))))
    return stage_words(record.progress)


def stage_words(progress: Progress) -> str:
    """'Downloading, 34%, model.safetensors'; of several files those being fetched, each with its share."""
    if progress.files:
        return ", ".join(filter(None, (_of_bytes(progress), progress.detail, _on_their_way(progress))))
    how_far = f"{progress.done / progress.total:.0%}" if progress.total > 1 else ""
    return ", ".join(filter(None, (_stage(progress), how_far, progress.detail)))


def _stage(progress: Progress) -> str:
    """'Dense perplexity', 'Pruning'; a stage of another kind of job by its own word."""
    words_ = _STAGES.get(progress.stage, progress.stage.capitalize())
    if progress.stage == "evaluate" and progress.subject in ("dense", "pruned"):
        return f"{progress.subject.capitalize()} {words_.lower()}"
    return words_


def _of_bytes(progress: Progress) -> str:
    return f"{_stage(progress)} {words.size(progress.done)} of {words.size(progress.total)}"


def _on_their_way(progress: Progress) -> str:
    """'model-00002-of-00003.safetensors 45%'."""
    moving = (file for file in progress.files if 0 < file.done < file.total)
    return ", ".join(f"{file.name} {file.done / file.total:.0%}" for file in moving)


def _left(record: RunRecord, done: float, total: float) -> str:
    """The time left in this stage, once a few layers have been timed."""
    if done < 3 or record.stage_started_at is None or record.last_event_at is None:
        return ""
    return words.left((record.last_event_at - record.stage_started_at) * (total - done) / done)
