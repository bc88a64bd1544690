"""The inputs and the result of the plans of a shrinking run."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from apt_core.base.clock import Clock
from apt_core.base.limits import gradient_windows, windows_per_batch
from apt_core.events import Event, Folded, Narrowed, Progress, Shrunk
from apt_core.execute.context import Context
from apt_core.execute.opening import Opened
from apt_core.families import block_widths
from apt_core.jobs import Search, Shrink
from apt_core.models.checkpoint.reshaped import ModelEdit
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.runner import timed

Result = TypeVar("Result")


class Given(NamedTuple):
    """windows: [windows, length] token ids on the device where tokens enter, None where no text is read. stored: the
    type of the checkpoint."""

    job: Shrink | Search
    context: Context
    opened: Opened
    windows: Tensor | None
    stored: torch.dtype

    @property
    def calibration(self) -> Tensor:
        assert self.windows is not None
        return self.windows

    @property
    def first(self) -> Tensor:
        """The windows for what takes many passes, or one backwards."""
        return self.calibration[: gradient_windows(*self.calibration.shape)]

    @property
    def batch(self) -> int:
        """Windows that pass a block together."""
        return windows_per_batch(*self.calibration.shape)

    def entering(self, windows: Tensor) -> Entering:
        store = self.opened.store
        with EmbeddingAndHead.of(self.opened.model, store).skip_blocks():
            return Entering.of(self.opened.model, store.blocks, windows, self.batch)

    def progress(self, detail: str, done: float = 0, total: float | None = None) -> Progress:
        return Progress(
            stage="calibrate", done=done, total=total or len(self.opened.store.blocks), detail=detail
        )

    def rounded(self, weight: Tensor) -> Tensor:
        """As the checkpoint will hold it."""
        return weight.to(self.stored).float()

    @contextmanager
    def changing(self) -> Iterator[Path]:
        """Inside, blocks are committed; the folder is where the dense model with what was committed can be written."""
        target = self.context.folder / _CHANGED
        with self.opened.store.writing(self.opened.folder, target):
            yield target

    def clean(self) -> None:
        """Remove the dense-sized model in between."""
        shutil.rmtree(self.context.folder / _CHANGED, ignore_errors=True)


_CHANGED = "checkpoint.changed"  # a name that is removed with what a killed run left behind


class Planned(NamedTuple):
    """edit: what stays. changed: a folder whose weights take the dense model's place, None where none was changed."""

    edit: ModelEdit
    changed: Path | None = None
    blocks: int = 0
    score: str = ""
    scores: tuple[float | None, ...] = ()
    widths: tuple[Narrowed, ...] = ()
    folded: tuple[Folded, ...] = ()

    def event(self, dense: int, left: int, share: float) -> Shrunk:
        """dense, left: parameters before and after. share: of the blocks' linear layers that went."""
        return Shrunk(
            blocks=self.blocks,
            kept=self.edit.blocks,
            score=self.score,
            scores=self.scores,
            widths=self.widths,
            folded=self.folded,
            dense_parameters=dense,
            parameters=left,
            share=share,
            uneven=self.uneven,
        )

    @property
    def uneven(self) -> bool:
        """Whether blocks of the smaller model differ in width."""
        config = self.edit.config
        return bool(block_widths(config.get("text_config") or config))


def reporting(
    steps: Generator[Any, None, Result], given: Given, detail: str, total: int, clock: Clock, stage: str
) -> Generator[Event, None, Result]:
    """An event for every step, its time on the clock, and what the steps return."""
    done, walking = 0, timed(steps, clock, stage)
    while True:
        try:
            next(walking)
        except StopIteration as end:
            found: Result = end.value
            return found
        done += 1
        yield given.progress(detail, min(done, total), total)
