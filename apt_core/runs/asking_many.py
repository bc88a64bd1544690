"""Several prompts to the same models, one after another: between two of them others get their turn. No torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

from apt_core.base.errors import PruneError
from apt_core.events import Failed
from apt_core.measure.answer_set import AnswerSet, PromptRow
from apt_core.measure.questions import LAST, Answered, Question, Step

_TIMES_BUSY = 5
_OF_THE_PROMPT = ("bad_text", "bad_input")  # failures that the next prompt need not meet


class Progress(NamedTuple):
    """place: of the prompt that is being answered, from 0. done: the record so far, changed since the last one or not.

    failed: why it ended early, in one sentence.
    """

    place: int
    tokens: int
    done: AnswerSet
    ended: bool = False
    failed: Failed | None = None


class AskingMany:
    """The prompts of a set asked one by one: an iterator of Progress that can be stopped."""

    def __init__(
        self, ask: Callable[[Question], Any], question: Question, prompts: Sequence[str], record: AnswerSet
    ):
        """ask: as `Reader.ask` of the models of the record. question: the settings of all prompts."""
        self._ask, self._question, self._prompts = ask, question, prompts
        self._record = record
        self._stopping = threading.Event()
        self._asking: Any = None
        self._progress = self._work()

    def __iter__(self) -> AskingMany:
        return self

    def __next__(self) -> Progress:
        return next(self._progress)

    @property
    def before(self) -> int:
        """How many questions of others are answered before the prompt that comes next."""
        return int(getattr(self._asking, "before", 0))

    def stop(self) -> None:
        """End the current answer early, and ask no further prompt; what there is comes as the last word."""
        self._stopping.set()
        if self._asking is not None:
            self._asking.stop()

    def close(self) -> None:
        """Nobody listens any more."""
        self._stopping.set()
        if self._asking is not None:
            self._asking.close()

    def _work(self) -> Iterator[Progress]:
        for place, prompt in enumerate(self._prompts):
            if self._stopping.is_set():
                break
            failed = yield from self._one(place, self._question.model_copy(update={"prompt": prompt}))
            if failed is not None:
                yield Progress(place, 0, self._ended(), True, failed)
                return
        yield Progress(max(0, len(self._record.rows) - 1), 0, self._ended(), True)

    def _ended(self) -> AnswerSet:
        stopped = self._stopping.is_set() or len(self._record.rows) < self._record.asked
        self._record = self._record.model_copy(update={"stopped": stopped})
        return self._record

    def _one(self, place: int, question: Question) -> Generator[Progress, None, Failed | None]:
        """One prompt to its last word; returns the failure that ends the whole set, None to go on."""
        last: Any = None
        for _ in range(_TIMES_BUSY):
            last = yield from self._replies(place, question)
            if not isinstance(last, Failed) or last.reason != "busy" or self._stopping.is_set():
                break
        if isinstance(last, Answered):
            self._record = self._record.with_row(self._record.row(question, last))
        elif isinstance(last, Failed) and last.reason in _OF_THE_PROMPT:
            self._record = self._record.with_row(PromptRow(prompt=question.prompt, error=last.message))
        elif isinstance(last, Failed) and last.reason != "stopped":
            return last
        yield Progress(place, 0, self._record)
        return None

    def _replies(self, place: int, question: Question) -> Generator[Progress, None, Any]:
        """Returns the last reply, None where it was stopped before its turn."""
        try:
            self._asking, tokens = self._ask(question), 0
        except PruneError as error:  # whoever asks may ask no more just now
            return Failed(reason=error.kind, message=str(error))
        if self._stopping.is_set():  # between two prompts
            self._asking.close()
            return None
        for reply in self._asking:
            if isinstance(reply, LAST):
                return reply
            tokens += isinstance(reply, Step)
            yield Progress(place, tokens, self._record)
            if self._stopping.is_set():
                self._asking.stop()
        return None
