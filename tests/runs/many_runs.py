"""A store with many finished runs, written straight to the disk."""

from __future__ import annotations

import time
from pathlib import Path

from apt_core import events as ev
from apt_core.jobs import make_job
from apt_core.runs.eventlog import EventLog
from apt_core.runs.folders import JOB_FILE
from apt_core.runs.from_folders import row_of
from apt_core.runs.store import Store
from tests.runs.fake_worker import evaluated, finished, layer

METHODS = ("apt", "wanda", "sparsegpt", "magnitude")


def many_runs(root: Path, amount: int, layers: int, tail: str = "0000") -> list[str]:
    """Fill a data folder with so many finished runs of so many layers; returns their ids, oldest first."""
    begun = int(time.time()) - amount
    ids = [
        f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(begun + number))}-{tail}" for number in range(amount)
    ]
    for number, run_id in enumerate(ids):
        job = make_job("prune", model={"id": "tiny-random-llama"}, method=METHODS[number % 4], seed=number)
        folder = root / "runs" / run_id
        folder.mkdir(parents=True)
        (folder / JOB_FILE).write_text(job.model_dump_json(indent=2))
        lines = [ev.dump_line(stamped) for stamped in _log(begun + number, layers, 20.0 + number)]
        EventLog(folder).path.write_text("\n".join(lines) + "\n")
    with Store(root).index.write() as rows:  # also where an app is at work
        for run_id in ids:
            if row := row_of(root / "runs" / run_id, None):
                rows.add(row)
    return ids


def _log(at: float, layers: int, perplexity: float) -> list[ev.Stamped]:
    events = [
        ev.Queued(),
        ev.Started(pid=4242),
        evaluated("dense", 20.0),
        *map(layer, range(layers)),
        evaluated("pruned", perplexity),
        finished(),
    ]
    return [ev.Stamped(seq=seq, at=at + seq / 1000, event=event) for seq, event in enumerate(events)]
