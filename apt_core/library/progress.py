"""What is seen of a run while it works: its record so far, a bar of tqdm, the caller's own look at each event."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time
from typing import TYPE_CHECKING, Any

from apt_core.base.lazy import lazy
from apt_core.cli.progress import stage_words, what
from apt_core.events import Event, Stamped
from apt_core.events.records import RunRecord, fold

if TYPE_CHECKING:
    import tqdm.auto as tqdm_auto
else:
    tqdm_auto = lazy("tqdm.auto")

Watch = Callable[[Event], object]
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


class Bar:
    """One bar at a time, of the stage that the run is in; it leaves nothing behind.

    shown: None for in terminals and notebooks alone.
    """

    def __init__(self, shown: bool | None):
        self._shown = _somebody_looks() if shown is None else shown
        self._bar: Any = None
        self._stage = ""

    def draw(self, record: RunRecord) -> None:
        if not self._shown or record.progress is None:
            return
        done, total, said = _where(record)
        stage = f"{record.progress.stage} {record.progress.subject}"
        if self._bar is None or stage != self._stage:
            self.close()
            self._stage, self._bar = stage, _new_bar(total, said)
        self._bar.total = total
        self._bar.set_description_str(said, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def _where(record: RunRecord) -> tuple[float, float, str]:
    """(done, of how much, in words)."""
    progress = record.progress
    assert progress is not None
    if progress.stage == "prune" and record.model and record.model.total_layers:
        done, total = len(record.layers), record.model.total_layers
        return done, total, f"{what(record)} · pruning, {done} of {total} layers"
    return progress.done, progress.total, f"{what(record)} · {_lower(stage_words(progress))}"


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]


def _new_bar(total: float, said: str) -> Any:
    with warnings.catch_warnings():  # a notebook without ipywidgets has a bar of text, and needs no advice
        warnings.simplefilter("ignore")
        return tqdm_auto.tqdm(desc=said, total=total, bar_format=_FORMAT, leave=False, dynamic_ncols=True)


def _somebody_looks() -> bool:
    """Whether standard error is a terminal, or this is the kernel of a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class Watching:
    """Folds events into a record, draws the bar, and passes the events on."""

    def __init__(self, record: RunRecord, on_event: Watch | None, bar: Bar):
        self.record, self._on_event, self._bar = record, on_event, bar

    def __call__(self, event: Event) -> None:
        stamped = Stamped(seq=self.record.last_seq + 1, at=time(), event=event)
        self.record = fold(self.record, [stamped])
        self._bar.draw(self.record)
        if self._on_event is not None:
            self._on_event(event)


@contextmanager
def watched(record: RunRecord, on_event: Watch | None, progress: bool | None) -> Iterator[Watching]:
    bar = Bar(progress)
    try:
        yield Watching(record, on_event, bar)
    finally:
        bar.close()
