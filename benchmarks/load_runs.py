"""What lies in the store before the visitors of `benchmarks.load` come: a run to ask, and a heavy one that works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from apt_core.jobs import make_job
from apt_core.runs import processes
from apt_core.runs.store import Store

ROOT = Path(__file__).resolve().parent.parent
_TEXT = {"text": "wiki-sample", "length": 64}
_PATIENCE = 180.0
_HEAVY_STAGES = ("calibrate", "search")


def run_to_ask(cache: Path) -> str:
    """A finished run of a bundled model, whose weights visitors ask; done by the command line."""
    command = [sys.executable, "-m", "apt_core", "prune", "--model", "tiny-llama", "--method", "magnitude"]
    texts = [
        "--calibration",
        "wiki-sample",
        "--eval",
        "wiki-sample",
        "--eval-samples",
        "2",
        "--pattern",
        "2:4",
    ]
    environment = os.environ | {"APT_CACHE": str(cache), "APT_MEASURE": "0", "APT_WARM": "0"}
    environment.pop("APT_DATA", None)
    subprocess.run([*command, *texts], cwd=ROOT, env=environment, check=True, capture_output=True)
    (run,) = Store(cache / "data").list()
    return run.id


class HeavyRun:
    """A search over smaller models: it computes on every core for as long as it is given."""

    def __init__(self, cache: Path, model: str, seconds: float):
        self._store = Store(cache / "data")
        minutes = max(1.0, seconds / 60 + 3)  # longer than the visitors stay
        job = make_job(
            "search",
            model={"id": model},
            minutes=minutes,
            generations=10_000,
            calibration={**_TEXT, "samples": 64},
            evaluation=[{**_TEXT, "samples": 2}],
        )
        self.id = self._store.create(job)

    def wait_until_it_works(self) -> None:
        """The app has begun it, and it computes. Raises TimeoutError."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            record = self._store.get(self.id)
            if not record.live:
                raise TimeoutError(f"the heavy run ended: {record.failure or record.status}")
            if any(
                getattr(one.event, "stage", "") in _HEAVY_STAGES for one in self._store.events_since(self.id)
            ):
                return
            time.sleep(0.5)
        raise TimeoutError("the heavy run did not begin")

    @property
    def works(self) -> bool:
        return self._store.get(self.id).status == "running"

    def end(self) -> None:
        """Kill what still works in this store: workers outlive their app."""
        with self._store.index.read() as rows:
            pids = [row.pid for row in rows.active() if row.pid]
        for pid in pids:
            processes.kill_group(pid)
