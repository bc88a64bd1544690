"""The app of `benchmarks.chaos`: the launcher's thread as the page runs it, without the page."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from apt_core.runs.launcher import Launcher
from apt_core.runs.liveness import RunLimits
from apt_core.runs.store import Store
from benchmarks.chaos_clock import follow

WORKER = (sys.executable, "-m", "benchmarks.chaos_worker")


def main() -> None:
    follow(Path(os.environ["APT_DATA"]))
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    limits = RunLimits(silent_seconds=8.0)  # minutes in the product; a stopped worker must not hold us up
    launcher = Launcher(Store(patience=5.0), WORKER, grace=2.0, interval=0.1, limits=limits)
    launcher.start()
    while not over.wait(0.5):
        pass
    launcher.stop()


if __name__ == "__main__":
    main()
