"""The worker of `benchmarks.chaos`: the product's own, with a short scripted job in place of pruning.

What is tested is the life of a run (claim, log, last word, weights), not what it computes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from apt_core import events as ev
from apt_core.execute import Context
from apt_core.jobs import Job
from apt_core.runs.worker import main
from benchmarks.chaos_clock import follow

STARTS = "starts"  # beside the runs: a line for every time that a run began
_LAYERS, _PAUSE = 12, 0.02


def scripted(_job: Job, context: Context) -> Iterator[ev.Event]:
    """Some layers, then weights that become whole at once, then the last word."""
    _say_that_it_began(context.folder)
    for number in range(_LAYERS):
        time.sleep(_PAUSE)
        yield _layer(number)
    partial, whole = context.folder / "checkpoint.partial", context.folder / "checkpoint"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(bytes(20_000))
    time.sleep(_PAUSE)
    partial.replace(whole)
    yield ev.Finished(
        sparsity=0.5,
        parameters=64,
        removed=32,
        seconds={"total": 1.0},
        peak_rss_bytes=1,
        checkpoint=str(whole),
    )


def _say_that_it_began(folder: Path) -> None:
    starts = folder.parents[1] / STARTS
    starts.mkdir(exist_ok=True)
    with (starts / folder.name).open("a") as file:
        file.write("began\n")


def _layer(number: int) -> ev.LayerPruned:
    return ev.LayerPruned(
        block=number // 7,
        layer=f"layer_{number % 7}",
        shape=(4, 8),
        removed=16,
        sparsity=0.5,
        relative_error=0.01,
        pattern_valid=True,
        dampening=0.01,
        seconds=0.01,
    )


if __name__ == "__main__":
    follow(Path(os.environ["APT_DATA"]))
    sys.exit(main(sys.argv[-1], scripted))
