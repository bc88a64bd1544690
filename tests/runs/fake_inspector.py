"""A real process in the place of the inspector: `python -m tests.runs.fake_inspector BEHAVIOUR --idle N`."""

from __future__ import annotations

import os
import sys
import time

from apt_core.measure.depth_values import Depth
from apt_core.measure.inside.questions import Looking, question_adapter

BEHAVIOUR = sys.argv[1]


def say(reply) -> None:
    print(reply.model_dump_json(), flush=True)


for line in sys.stdin:
    asked = question_adapter.validate_json(line)
    say(Looking(done=0, total=2, detail="blocks"))
    if BEHAVIOUR == "mortal":
        os.kill(os.getpid(), 9)
    if BEHAVIOUR == "greedy":
        hoard = bytearray(300_000_000)
        time.sleep(60)
    if BEHAVIOUR == "hanging":
        time.sleep(60)
    say(
        Depth(
            run=asked.run,
            text=str(os.getpid()),
            windows=1,
            length=16,
            positions=1,
            blocks=(),
            top1=1.0,
            seconds=0.0,
        )
    )
