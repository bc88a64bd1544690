"""What the launcher of a page does while nothing waits or works: measure the machine, prepare for the next run, pack
the weights of older ones. All are other processes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress

from apt_core.estimate import machine
from apt_core.runs import packer, processes
from apt_core.runs.starting import REPOSITORY, Starter
from apt_core.runs.store import Store

PACK_EVERY_SECONDS = 60.0
MEASURE_AFTER_SECONDS = 3.0  # when the page has been opened
MEASURE_AGAIN_SECONDS = 60.0  # where a run or other programs had the cores
WARM_UP_AFTER_SECONDS = 20.0  # when the page has been opened


class WhileIdle:
    """Cheap to ask twice a second. Nothing is due before `opened` was called."""

    def __init__(self, store: Store, starter: Starter):
        self._store = store
        self._starter = starter
        self._warm_up_at = float("inf")
        self._pack_at = float("inf")
        self._measure_at = float("inf")
        self._packing: subprocess.Popen[bytes] | None = None

    def opened(self) -> None:
        now = time.monotonic()
        self._warm_up_at = now + WARM_UP_AFTER_SECONDS
        self._pack_at = now + PACK_EVERY_SECONDS
        if os.environ.get("APT_MEASURE") != "0":
            self._measure_at = now + MEASURE_AFTER_SECONDS

    def run_ended(self) -> None:
        """The next one may follow soon."""
        self._warm_up_at = time.monotonic()

    def due(self) -> bool:
        """Whether `work` would do anything."""
        return time.monotonic() >= min(self._warm_up_at, self._pack_at, self._measure_at)

    def work(self) -> None:
        """Whatever is due. Raises PruneError or OSError where the store is busy."""
        now = time.monotonic()
        if now >= self._measure_at:
            known = machine.measured_machine() is not None
            self._measure_at = float("inf") if known else now + MEASURE_AGAIN_SECONDS
            if not known:
                threading.Thread(target=_measure, name="measure-machine", daemon=True).start()
        if now >= self._warm_up_at:
            self._warm_up_at = float("inf")
            self._starter.warm_up()
        if now >= self._pack_at:
            self._pack_at = now + PACK_EVERY_SECONDS
            self._pack()

    def _pack(self) -> None:
        if self._packing is not None and self._packing.poll() is None:
            return
        if packer.packable(self._store):
            self._packing = subprocess.Popen(
                packer.COMMAND,
                cwd=REPOSITORY,
                env=processes.heavy_environment() | {"APT_DATA": str(self._store.root)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )


def _measure() -> None:
    with suppress(OSError):  # a full disk: the packaged rates count
        machine.measure(processes.heavy_environment())
