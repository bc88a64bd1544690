"""A real reader process with scripted models: `python -m tests.runs.fake_reader BEHAVIOUR`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator

from pydantic import BaseModel

from apt_core.base.errors import BadInput, NotReachable
from apt_core.events import Progress
from apt_core.events.asking import OtherAnswer
from apt_core.measure.questions import Answered, Request, Score, Scored, Scoring, Sides, Step, TokenGap
from apt_core.runs import reader

BEHAVIOUR = sys.argv[1]


class Scripted:
    """Echoes the prompt word by word; pruned sides differ from the third word on, from the fourth ..."""

    def __init__(self) -> None:
        self._there: set[object] = set()

    def load(self, sides: Sides) -> Generator[BaseModel, None, bool]:
        print("a library prints to stdout", flush=True)
        if BEHAVIOUR == "unloadable":
            raise NotReachable("The Hub does not answer; try again later.")
        wanted = {str(sides.dense), *sides.pruned}
        new = not wanted <= self._there
        if new and BEHAVIOUR == "slow_load":
            time.sleep(1)
        if BEHAVIOUR == "stuck_load" and "STUCK" in os.environ and not os.path.exists(os.environ["STUCK"]):
            open(os.environ["STUCK"], "w").close()
            time.sleep(120)
        for done in range(1000 if new and BEHAVIOUR == "fetching" else 0):
            yield Progress(stage="download", done=done, total=1000, detail="owner/name")
            time.sleep(0.02)
        if BEHAVIOUR == "greedy":
            self._hoard = bytearray(300_000_000)
            time.sleep(120)
        self._there |= wanted
        return new

    def answer(self, request: Request) -> Generator[BaseModel, None, None]:
        question = request.question
        if isinstance(request, Score):
            yield from self._scored(request)
            return
        while question.prompt == "compute for ever":
            pass
        if question.prompt == "refuse":
            raise BadInput("This prompt is too long for the model.")
        words = [f"{word} " for word in question.prompt.split()] * question.max_tokens
        words = words[: question.max_tokens]
        further = range(len(request.sides.pruned) - 1)
        for index, word in enumerate(words):
            if BEHAVIOUR == "mortal" and index == 2:
                os.kill(os.getpid(), 9)
            if BEHAVIOUR == "hanging" and index == 2:
                time.sleep(60)
            time.sleep(0.02)
            yield Step(
                index=index,
                dense=word,
                pruned=word if index < 2 else word.upper(),
                dense_id=index,
                others=tuple(word if index < 3 + place else word.title() for place in further),
            )
        yield Answered(
            dense="".join(words),
            pruned=f"{os.getpid()}",  # so that a test can tell whether the process stayed
            dense_tokens=len(words),
            pruned_tokens=len(words),
            first_divergence=2,
            seconds=1.0,
            dense_ids=tuple(range(len(words))),
            others=tuple(
                OtherAnswer(text="".join(words), tokens=len(words), first_divergence=3 + place)
                for place in further
            ),
        )

    def _scored(self, request: Score) -> Generator[BaseModel, None, None]:
        """Half the dense probability for each pruned model, a quarter for the next ..."""
        pruned = tuple(0.8 / 2 ** (place + 1) for place in range(len(request.sides.pruned)))
        for done in range(len(request.tokens)):
            time.sleep(0.02)
            yield Scoring(done=done, total=len(request.tokens))
        tokens = [
            TokenGap(text=f"{token} ", dense=0.8, pruned=pruned, kl=tuple(0.5 for _ in pruned))
            for token in request.tokens
        ]
        yield Scored(tokens=tuple(tokens), seconds=0.1)


if __name__ == "__main__":
    sys.exit(reader.main(sys.argv[2:], Scripted()))
