"""The app of `benchmarks.many_runs`: the page as it is, with workers that copy a recorded run in place of pruning."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from apt_core.base.policy import PRIVATE
from apt_core.reports import samples
from apt_core.runs.launcher import Launcher
from apt_core.runs.reading import Reader
from apt_core.runs.store import Store
from apt_core.ui.serving import served
from apt_core.ui.studio import Studio
from benchmarks.many_runs_worker import TEMPLATE

# -S -E: without the packages, which take longer to find than the worker takes to work.
WORKER = (sys.executable, "-S", "-E", str(Path(__file__).with_name("many_runs_worker.py")))


def main(port: int) -> None:
    store = Store()
    store.root.mkdir(parents=True, exist_ok=True)
    recorded = next(iter(samples.load().values()))
    events = [one.event.model_dump(mode="json") for one in recorded.events]
    told = [event for event in events if event["kind"] != "queued"]
    (store.root / TEMPLATE).write_text(json.dumps(told), "utf-8")
    launcher = Launcher(store, WORKER, interval=0.05)
    launcher.start()
    studio = Studio(store, launcher, Reader(store), policy=PRIVATE)
    with served(studio, "127.0.0.1", port):
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[-1]))
