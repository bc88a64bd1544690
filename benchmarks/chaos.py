"""The store and the queue under faults: what is lost, falsely running, orphaned or left over afterwards.

    python -m benchmarks.chaos --faults 300
    python -m benchmarks.chaos --faults 30 --seed 7 --json

Runs are asked for while faults are thrown at random points: worker, app or both killed (SIGKILL), worker or app stopped
(SIGSTOP), the index locked or removed, the disk full, torn and foreign lines in a log, the clock set. All of it happens
in a folder and in processes of its own; where this process may mount one, the folder is a small disk, else the disk is
never full and the table says so. At the end everything goes on undisturbed until the queue is empty, then the store is
counted. Prints a table, or one JSON object; exits 1 unless every count is zero.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from apt_core import plan
from apt_core.base.errors import PruneError
from apt_core.runs.index import Row
from apt_core.runs.store import Store
from benchmarks import chaos_clock
from benchmarks.chaos_worker import STARTS

_APP = (sys.executable, "-m", "benchmarks.chaos_app")
_WORKER_NAME = "benchmarks.chaos_worker"
_DISK_BYTES = 60_000_000
_WAITING = 3  # runs that wait in the queue at least
_SETTLE_SECONDS = 240.0
_COUNTS = ("lost", "falsely_running", "ran_twice", "orphans", "leaked_bytes")
_DAY = 86_400.0


class Chaos:
    """One store under fire. known: every run that was asked for. finished: those that were seen to have finished."""

    def __init__(self, root: Path, seed: int, small_disk: bool):
        self.root = root
        self.store = Store(root, patience=20.0)
        self.random = random.Random(seed)
        self.small_disk = small_disk
        self.known: list[str] = []
        self.finished: set[str] = set()
        self.done: Counter[str] = Counter()
        self._job = plan("tiny-random-llama", "magnitude", 0.5)
        self._app: subprocess.Popen | None = None

    # --- the run of the benchmark ----------------------------------------------------------------

    def throw(self, faults: int, said: Callable[[int], None]) -> None:
        kinds = [name for name in FAULTS if name != "disk full" or self.small_disk]
        for number in range(faults):
            self._keep_going()
            time.sleep(self.random.uniform(0.0, 0.6))
            kind = self.random.choice(kinds)
            FAULTS[kind](self)
            self.done[kind] += 1
            said(number + 1)

    def settle(self) -> None:
        """Undisturbed until nothing waits or works any more, or the patience is over."""
        chaos_clock.jump(self.root, 0.0)
        end = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < end:
            self._start_app()
            with contextlib.suppress(PruneError):
                self._note_finished()
                if not self.store.live():
                    break
            time.sleep(0.3)
        self.end_app()

    def end_app(self) -> None:
        if self._app and self._app.poll() is None:
            self._app.terminate()
            self._app.wait(timeout=20)

    def _keep_going(self) -> None:
        """An app that lives, and runs that wait; what the faults make impossible just now is tried again later."""
        self._start_app()
        with contextlib.suppress(PruneError):
            self._note_finished()
            waiting = sum(record.status == "queued" for record in self.store.live())
            for _ in range(_WAITING - waiting):
                self.known.append(self.store.create(self._job))

    def _note_finished(self) -> None:
        for record in self.store.list(limit=30):
            if record.status == "finished" and self.store.checkpoint(record.id):
                self.finished.add(record.id)

    def _start_app(self) -> None:
        if self._app is None or self._app.poll() is not None:
            with (self.root.parent / "app.log").open("ab") as log:
                self._app = subprocess.Popen(_APP, env=self._environment(), stdout=log, stderr=log)

    def _environment(self) -> dict[str, str]:
        return os.environ | {"APT_DATA": str(self.root), "APT_KEEP_GB": "1000"}

    # --- faults ----------------------------------------------------------------------------------

    def _active(self) -> list[Row]:
        with contextlib.suppress(PruneError), self.store.index.read() as rows:
            return rows.active()
        return []

    def _signal_worker(self, number: signal.Signals) -> None:
        for row in self._active():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if row.pid:
                    os.kill(row.pid, number)

    def kill_worker(self) -> None:
        self._signal_worker(signal.SIGKILL)

    def stop_worker(self) -> None:
        self._signal_worker(signal.SIGSTOP)

    def kill_app(self) -> None:
        if self._app:
            self._app.kill()
            self._app.wait()

    def kill_both(self) -> None:
        self.kill_worker()
        self.kill_app()

    def stop_app(self) -> None:
        if self._app and self._app.poll() is None:
            self._app.send_signal(signal.SIGSTOP)
            time.sleep(self.random.uniform(0.1, 1.0))
            self._app.send_signal(signal.SIGCONT)

    def lock_index(self) -> None:
        """Held from another thread for a while, as a backup program would."""
        seconds = self.random.uniform(0.1, 3.0)

        def hold() -> None:
            with contextlib.suppress(sqlite3.Error):
                connection = sqlite3.connect(self.root / "runs.db", timeout=1.0)
                connection.execute("BEGIN IMMEDIATE")
                time.sleep(seconds)
                connection.close()

        threading.Thread(target=hold, daemon=True).start()

    def remove_index(self) -> None:
        for name in ("runs.db", "runs.db-wal", "runs.db-shm"):
            (self.root / name).unlink(missing_ok=True)

    def fill_disk(self) -> None:
        """To the last byte, for a moment."""
        filler = self.root / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        time.sleep(self.random.uniform(0.1, 1.0))
        filler.unlink(missing_ok=True)

    def tear_line(self) -> None:
        self._append(b'{"seq": 999, "at": 1.0, "event": {"kind": "layer_pru')

    def foreign_line(self) -> None:
        self._append(b"\xff\xfe\x00 not ours\n")

    def _append(self, raw: bytes) -> None:
        if not self.known:
            return
        run_id = self.random.choice([row.id for row in self._active()] or self.known[-10:])
        with contextlib.suppress(OSError), (self.store.folder(run_id) / "events.jsonl").open("ab") as log:
            log.write(raw)

    def set_clock(self) -> None:
        with contextlib.suppress(OSError):
            chaos_clock.jump(self.root, self.random.uniform(-_DAY, _DAY))

    # --- counting --------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Of what must be zero; a run whose worker was killed has failed, which is no loss."""
        return {
            "lost": len(self.lost()),
            "falsely_running": len(self._falsely_running()),
            "ran_twice": len(self._ran_twice()),
            "orphans": len(self._orphans()),
            "leaked_bytes": sum(path.stat().st_size for path in self._left_over()),
        }

    def lost(self) -> list[str]:
        """Runs that cannot be read, and results that were there and are not."""
        gone = []
        for run_id in self.known:
            try:
                record = self.store.get(run_id)
            except PruneError:
                gone.append(run_id)
                continue
            if run_id in self.finished and not (
                record.status == "finished" and self.store.checkpoint(run_id)
            ):
                gone.append(run_id)
        return gone

    def _falsely_running(self) -> list[str]:
        return [record.id for record in self.store.live()]

    def _ran_twice(self) -> list[str]:
        folder = self.root / STARTS
        return [file.name for file in folder.glob("*") if file.read_text().count("began") > 1]

    def _orphans(self) -> list[int]:
        known, found = set(self.known), []
        for process in psutil.process_iter(["cmdline", "status", "pid"]):
            command = process.info["cmdline"] or []
            if _WORKER_NAME in command and command[-1] in known and process.info["status"] != "zombie":
                found.append(process.info["pid"])
        return found

    def _left_over(self) -> Iterator[Path]:
        """Files that no run owns, and weights of runs that did not finish."""
        known = set(self.known)
        for folder in self.store.runs.iterdir():
            whole = folder.name in known and self.store.get(folder.name).status == "finished"
            for path in folder.rglob("*"):
                inside = path.relative_to(folder).parts[0]
                half = inside.startswith("checkpoint") and not (whole and inside == "checkpoint")
                if path.is_file() and (folder.name not in known or half or inside == "alive"):
                    yield path


FAULTS: dict[str, Callable[[Chaos], None]] = {
    "worker killed": Chaos.kill_worker,
    "worker stopped": Chaos.stop_worker,
    "app killed": Chaos.kill_app,
    "both killed": Chaos.kill_both,
    "app stopped": Chaos.stop_app,
    "index locked": Chaos.lock_index,
    "index removed": Chaos.remove_index,
    "disk full": Chaos.fill_disk,
    "torn line": Chaos.tear_line,
    "foreign line": Chaos.foreign_line,
    "clock set": Chaos.set_clock,
}


def main() -> int:
    options = _options()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="apt-chaos-") as scratch, _disk(Path(scratch) / "data") as small:
        chaos = Chaos(Path(scratch) / "data", options.seed, small)
        try:
            chaos.throw(options.faults, lambda number: _say(number, options.faults))
            chaos.settle()
            found = {"faults": options.faults, **chaos.counts()}
        finally:
            chaos.end_app()
        found |= {
            "runs": len(chaos.known),
            "finished": len(chaos.finished),
            "kinds": dict(chaos.done),
            "disk_full_possible": small,
            "seed": options.seed,
            "seconds": round(time.monotonic() - begun, 1),
        }
        if any(found[name] for name in _COUNTS) and options.keep:
            shutil.copytree(scratch, options.keep, dirs_exist_ok=True)
    print(json.dumps(found) if options.json else table(found))
    return int(any(found[name] for name in _COUNTS))


def table(found: dict) -> str:
    """Faults by kind, and what must be zero."""
    lines = ["| fault | times |", "|---|---:|"]
    lines += [f"| {kind} | {times} |" for kind, times in sorted(found["kinds"].items())]
    lines += ["", "| after all of them | |", "|---|---:|"]
    lines += [f"| {name.replace('_', ' ')} | {found[name]} |" for name in _COUNTS]
    disk = "" if found["disk_full_possible"] else "; no small disk could be mounted, so it was never full"
    lines += ["", f"{found['runs']} runs, {found['finished']} of them finished, in {found['seconds']} s, seed "
              f"{found['seed']}{disk}."]  # fmt: skip
    return "\n".join(lines)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[bool]:
    """A folder on a small disk of its own where one can be mounted, else a plain one; gives which of both."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(folder)]
    try:
        small = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        small = False
    try:
        yield small
    finally:
        if small:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def _say(number: int, of: int) -> None:
    if number % 10 == 0:
        print(f"{number} of {of} faults", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="copy the store here when a count is not zero")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
