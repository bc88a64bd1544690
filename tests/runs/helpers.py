"""What the tests of runs share: the command of a scripted worker, and waiting for other processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

import pytest

from apt_core import events as ev
from apt_core.runs.store import Store


def fake_command(behaviour: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.runs.fake_worker", behaviour)


def until(condition, seconds: float = 15.0, what: str = "", between=lambda: None):
    """Wait for `condition()` to be true, doing `between()` meanwhile; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        between()
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"did not happen within {seconds} s: {what or condition}")


def layers_of(store: Store, run_id: str) -> int:
    return sum(isinstance(stamped.event, ev.LayerPruned) for stamped in store.events_since(run_id))


def worker_pid(store: Store, run_id: str) -> int:
    with store.index.read() as rows:
        return rows.get(run_id).pid


@contextlib.contextmanager
def small_disk(folder, size):
    """A tmpfs of `size` bytes at `folder`, where we may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
