"""A real reader process with scripted models: `python -m tests.runs.fake_reader BEHAVIOUR --dense ...`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from apt_core.base.errors import BadInput, NotReachable
from apt_core.measure.questions import Answered, Question, Step
from apt_core.runs import reader

BEHAVIOUR = sys.argv[1]


def load(options) -> reader.Answer:
    print("a library prints to stdout", flush=True)
    if BEHAVIOUR == "unloadable":
        raise NotReachable("The Hub does not answer; try again later.")
    if BEHAVIOUR == "slow_load":
        time.sleep(1)
    return answer


def answer(question: Question) -> Iterator[Step | Answered]:
    """Echoes the prompt word by word; the pruned side differs from the third word on."""
    if question.prompt == "refuse":
        raise BadInput("This prompt is too long for the model.")
    words = [f"{word} " for word in question.prompt.split()] * question.max_tokens
    words = words[: question.max_tokens]
    for index, word in enumerate(words):
        if BEHAVIOUR == "mortal" and index == 2:
            os.kill(os.getpid(), 9)
        if BEHAVIOUR == "hanging" and index == 2:
            time.sleep(60)
        time.sleep(0.02)
        yield Step(index=index, dense=word, pruned=word if index < 2 else word.upper())
    yield Answered(
        dense="".join(words),
        pruned=f"{os.getpid()}",  # so that a test can tell whether the process stayed
        dense_tokens=len(words),
        pruned_tokens=len(words),
        first_divergence=2,
        seconds=1.0,
    )


if __name__ == "__main__":
    sys.exit(reader.main(sys.argv[2:], load=load))
