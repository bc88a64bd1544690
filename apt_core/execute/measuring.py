"""What a run that makes one model of another measures of both: perplexity, how far apart they are, size and speed."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import cast

from torch import Tensor

from apt_core.base.errors import BadText
from apt_core.base.limits import SIZED_BYTES
from apt_core.events import Answers, Event, Measured, Progress, Sized, Subject, Warned
from apt_core.events.asking import STANDARD_QUESTION
from apt_core.execute.context import Context
from apt_core.execute.opening import Opened
from apt_core.jobs import Job
from apt_core.measure.dense_cache import known_perplexity_events
from apt_core.measure.divergence import WindowDivergence, diverged, fill_states, window_divergences
from apt_core.measure.generate import Alone, alone, beside
from apt_core.measure.kept_states import KeptStates
from apt_core.measure.perplexity import decoding_speed, perplexity_events
from apt_core.measure.size import ZSTD_LEVEL, folder_sizes, known_sizes
from apt_core.models.checkpoint.whole import checkpoint_bytes
from apt_core.models.fetch import hub_token
from apt_core.passes.evaluation import LastStates
from apt_core.texts.sources import is_file


def evaluated(
    job: Job, context: Context, opened: Opened, texts: list[Tensor], subject: Subject, first: LastStates
) -> Iterator[Event]:
    """Perplexity on every text; that of the dense model may be known already. first: keeps those of the first text."""
    with context.clock(f"{subject}_eval"):
        for number, (wanted, windows) in enumerate(zip(job.evaluation, texts, strict=True)):
            last = None if number else first
            if subject == "dense":
                found = yield from known_perplexity_events(
                    opened.model, windows, subject, wanted.text, opened.folder, opened.store, last
                )
                if found.reused:
                    context.clock.spare("dense_eval", found.seconds)
            else:
                found = yield from perplexity_events(
                    opened.model, windows, subject, wanted.text, opened.store, last
                )
            yield found


def states_of_dense(
    job: Job, context: Context, opened: Opened, windows: Tensor, dense: LastStates, keeps: bool = True
) -> Iterator[Event]:
    """Where the dense perplexity was known, its windows have gone through no block yet; an earlier run may have kept
    what leaves the last one. keeps: whether this run does so for later ones."""
    if not dense.windows:
        return
    kept = _kept_states(job, context, opened)
    compared = windows[: dense.windows]
    if dense.states is None and kept:
        dense.states = kept.recall(opened.model, compared)
        if dense.states is not None:
            return
    if dense.states is None:
        yield from _through_all_blocks(context, opened, windows, dense)
    if kept and keeps and dense.states is not None:
        kept.keep(opened.model, compared, dense.states)


def _kept_states(job: Job, context: Context, opened: Opened) -> KeptStates | None:
    """For all later runs where anybody may read both text and model; otherwise for those of the same study."""
    somebodys = is_file(job.evaluation[0].text) or job.model.run is not None or hub_token.handed() is not None
    if not somebodys:
        return KeptStates.of_everybody(opened.folder)
    return KeptStates(context.shared, opened.folder) if context.shared else None


def _through_all_blocks(
    context: Context, opened: Opened, windows: Tensor, dense: LastStates
) -> Iterator[Event]:
    with context.clock("dense_eval"):
        for block in fill_states(opened.model, windows, opened.store, dense):
            yield Progress(
                stage="evaluate", subject="dense", done=block, total=len(opened.store.blocks), detail="blocks"
            )


def compared(
    job: Job, context: Context, opened: Opened, windows: Tensor, dense: LastStates, pruned: LastStates
) -> Iterator[Event]:
    """KL and agreement with the dense model, on the first windows of the first text, where they are short enough."""
    if not dense.windows:
        return
    assert dense.states is not None and pruned.states is not None
    compared = windows[: dense.windows]
    found: list[WindowDivergence] = []
    with context.clock("divergence"):
        for one in window_divergences(opened.model, opened.store, compared, dense.states, pruned.states):
            found.append(one)
            yield Progress(
                stage="evaluate",
                subject=cast(Subject, job.subjects[-1]),
                done=len(found),
                total=len(compared),
                detail="agreement",
            )
        yield diverged(found, job.evaluation[0].text, compared.shape[1])


def measured(
    context: Context, opened: Opened, subject: Subject, folder: Path, timed: bool
) -> Iterator[Event]:
    """Size on disk; and decoding speed where it is timed alone, None where the model cannot be called as a whole."""
    with context.clock("measure"):
        speed = (yield from _decoding_speed(opened, subject)) if timed else None
        yield Measured(subject=subject, tokens_per_second=speed, bytes_on_disk=checkpoint_bytes(folder))
    if checkpoint_bytes(folder) <= SIZED_BYTES:
        with context.clock("size"):
            sizes = known_sizes(folder) if subject == "dense" else folder_sizes(folder)
            yield Sized(subject=subject, zstd_level=ZSTD_LEVEL, **sizes.model_dump())


def _decoding_speed(opened: Opened, subject: Subject) -> Generator[Event, None, float | None]:
    done = int(subject == "pruned")
    yield Progress(stage="measure", subject=subject, done=done, total=2, detail=f"{subject} decoding speed")
    with opened.store.all_loaded() as why_not:
        return None if why_not else decoding_speed(opened.model)


def dense_answer(job: Job, context: Context, opened: Opened) -> Generator[Event, None, Alone | None]:
    """What the dense model writes to the standard question; None where that is not wanted, or where it cannot be
    asked, which is said."""
    return (yield from _answer(context, opened, "dense")) if job.asks_both else None


def both_answers(
    context: Context, opened: Opened, dense: Alone | None, subject: Subject = "pruned"
) -> Iterator[Event]:
    """The same of the model that was made, and both beside each other; nothing where the dense one was not asked."""
    if dense is not None and (made := (yield from _answer(context, opened, subject))) is not None:
        yield Answers(question=STANDARD_QUESTION, answered=beside(dense, made))


def _answer(context: Context, opened: Opened, subject: Subject) -> Generator[Event, None, Alone | None]:
    with context.clock("answers"), opened.store.all_loaded() as why_not:
        try:
            if not why_not:
                return (yield from alone(opened.model, opened.tokenizer, STANDARD_QUESTION, subject))
        except BadText as error:
            why_not = str(error).rstrip(".")
        yield Warned(message=f"The standard question was left out: {why_not}.")
        return None
