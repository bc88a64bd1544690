"""One question on the page, from the form to the last word. No gradio."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from apt_core.base.errors import BadInput, one_sentence
from apt_core.base.heartbeat import with_heartbeat
from apt_core.base.words import duration, sentence, size
from apt_core.events import Progress
from apt_core.measure.answer_set import AnswerSet
from apt_core.measure.questions import Answered, Question, ReaderReady, Step
from apt_core.runs.asking_many import AskingMany
from apt_core.studies.names import names_of
from apt_core.ui.studio import Studio
from apt_core.ui.views import answers
from apt_core.ui.views.html import Markup

_LOADING = "Loading {}; the first question about a run takes longest."
_HEARTBEAT_SECONDS = 0.5
_SECONDS_BETWEEN_UPDATES = 0.15  # words are read, not counted: seven updates a second are plenty


class Asked(NamedTuple):
    """A question, the runs that are asked, and the replies as they come.

    heads: of the answers, in their order. dense: whether the dense model answers too. hidden: whether the columns say
    A and B in place of the heads; flipped: whether the two of them are shown in the other order.
    """

    question: Question
    runs: tuple[str, ...]
    heads: tuple[answers.Head, ...]
    asking: Any
    dense: bool = True
    hidden: bool = False
    flipped: bool = False

    @property
    def over_columns(self) -> tuple[answers.Head, ...]:
        return answers.UNNAMED if self.hidden else self.heads

    @property
    def loading(self) -> str:
        return _LOADING.format("both models" if len(self.heads) == 2 else f"{len(self.heads)} models")


class Said(NamedTuple):
    """columns: None for unchanged. bad: whether the state is bad news. answered: with the last word alone."""

    columns: Markup | None
    state: str
    bad: bool = False
    answered: Answered | None = None


def conversation(asked: Asked, stop: threading.Event) -> Iterator[Said]:
    """What to show as the answers come, until the last word."""
    duel, started, shown_at = answers.Duel(len(asked.heads)), time.monotonic(), 0.0
    stopped, coming = False, None
    for reply in heard(asked.asking, _HEARTBEAT_SECONDS):
        now = time.monotonic()
        if stop.is_set() and not duel.steps:  # not our turn yet, or the models are still being loaded
            yield Said(None, "Stopped before the first word.")
            return  # and it leaves the line: nobody hears its last word
        if stop.is_set() and not stopped:
            stopped = True
            asked.asking.stop()  # its last word, with what there is, comes next
        if isinstance(reply, Step):
            duel.add(*(reversed(reply.texts) if asked.flipped else reply.texts))
            if now - shown_at > _SECONDS_BETWEEN_UPDATES:
                shown_at = now
                yield _streaming(asked, duel)
        elif reply is not None or not duel.steps:
            coming = coming if reply is None else reply if isinstance(reply, Progress) else None
            yield _other_than_step(asked, coming or reply, now - started)


def _streaming(asked: Asked, duel: answers.Duel) -> Said:
    state = f"{duel.steps} tokens · {answers.settings_line(asked.question)}"
    return Said(answers.streaming(duel, asked.over_columns, asked.question), state)


def _other_than_step(asked: Asked, reply: Any, seconds: float) -> Said:
    if reply is None:
        return Said(None, f"{waiting(asked.asking) or asked.loading} {duration(seconds)} so far.")
    if isinstance(reply, Progress):
        return Said(None, f"{_coming(reply)} {duration(seconds)} so far.")
    if isinstance(reply, ReaderReady):
        return Said(None, "The models are loaded; reading the prompt.")
    if isinstance(reply, Answered):
        shown, heads = answers.swapped(reply) if asked.flipped else reply, asked.over_columns
        state = f"{answers.finish_line(shown, heads)} {answers.settings_line(asked.question)}"
        return Said(answers.compared(shown, heads, asked.question), state, answered=reply)
    return Said(None, sentence(reply.message), bad=reply.reason != "stopped")


def heard(asking: Any, seconds: float) -> Iterator[Any]:
    """The replies, and None whenever they have been silent for `seconds`. Who goes away before the end leaves the line,
    so that others do not wait for a question that nobody asks any more."""
    try:
        yield from with_heartbeat(asking, seconds)
    except GeneratorExit:
        asking.stop()
        raise


def waiting(asking: Any) -> str:
    """What is said of a question whose turn has not come; empty once it has."""
    before = getattr(asking, "before", 0)
    if not before:
        return ""
    return f"{'One question is' if before == 1 else f'{before} questions are'} answered before yours;"


def _coming(progress: Progress) -> str:
    """A model that made room for others since the run."""
    if progress.stage != "download":
        return "The dense model is no longer here and is converted again;"
    return f"The dense model is no longer here: fetching {size(progress.done)} of {size(progress.total)};"


def ask_many(
    studio: Studio, run_id: str, prompts: Sequence[str], values: tuple[Any, ...], others: Sequence[str]
) -> AskingMany:
    """values: of the form of one question. Raises PruneError with one sentence."""
    question = question_from((prompts[0], *values[1:]))
    if studio.checkpoint(run_id) is None:
        raise BadInput("There is no pruned model to ask here; prune one first.")
    studio.check_askable([run_id, *others])
    models = [head.title for head in heads_of(studio, run_id, others)]
    record = AnswerSet.of([run_id, *others], models, question, len(prompts))
    return AskingMany(lambda each: studio.ask(run_id, each, others), question, prompts, record)


def heads_of(studio: Studio, run_id: str, others: Sequence[str]) -> tuple[answers.Head, ...]:
    """Raises UnknownRun where one of them is not there."""
    if not others:
        return answers.PAIR
    names = names_of([studio.record(each) for each in (run_id, *others)])
    return answers.heads_of([names[each] for each in (run_id, *others)])


def question_from(values: tuple[Any, ...]) -> Question:
    """Raises PruneError with one sentence."""
    prompt, max_tokens, temperature, top_p, seed, chat = values
    prompt = str(prompt or "")
    if not prompt.strip():
        raise BadInput("Write a prompt first.")
    if len(prompt) > 20_000:
        raise BadInput(f"The prompt has {len(prompt):,} characters; use at most 20,000.")
    try:
        return Question(
            prompt=prompt,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            chat=bool(chat),
        )
    except ValidationError as error:
        raise BadInput(sentence(one_sentence(error))) from error
