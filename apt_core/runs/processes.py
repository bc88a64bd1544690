"""Looking at worker processes by pid and birth, so that a reused pid is never taken for a worker."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence

import psutil

from apt_core.base.paths import absolute_environment

_OF_THE_PAGE = ("OAUTH_CLIENT_SECRET",)  # signs the sessions of those who signed in
_SAME_BIRTH_SECONDS = 0.5  # psutil rounds to clock ticks


def heavy_environment() -> dict[str, str]:
    """The environment of a process that computes beside others (the page, a browser) on the same cores.

    An OpenMP thread that waits spins for about 50 microseconds and then sleeps. Spinning on, as it would by
    itself, made a run four times slower whenever anything else wanted a core; sleeping at once (the PASSIVE
    policy) makes it twice as slow on an idle machine. What only the page must know is left out.
    """
    ours = {name: value for name, value in os.environ.items() if name not in _OF_THE_PAGE}
    return {"GOMP_SPINCOUNT": "20000"} | ours | absolute_environment()


def memory_of(pid: int) -> int:
    """Bytes that a process and its children hold; 0 when it is gone."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += each.memory_info().rss
    return total


def birth(pid: int) -> float | None:
    """When this process was created (Unix seconds), None when it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def is_alive(pid: int | None, created: float | None, run_id: str) -> bool:
    """True while the worker of `run_id` lives under this pid; a zombie is dead.

    The birth is compared first. It shifts when the system clock is set, so a process that names the
    run on its command line counts too.
    """
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        same_birth = created is not None and abs(process.create_time() - created) < _SAME_BIRTH_SECONDS
        return same_birth or process.cmdline()[-1:] == [run_id]
    except psutil.Error:
        return False


def ask_to_end(pid: int) -> None:
    """SIGTERM; a worker takes it as a wish to cancel."""
    with contextlib.suppress(ProcessLookupError):  # it has ended in the meantime
        os.kill(pid, signal.SIGTERM)


def end_strays(run_id: str, command: Sequence[str]) -> None:
    """End the workers of a run that nobody knows any more: of before an index was lost, or stopped as they began.

    command: by which workers are started; the run's id is its last word.
    """
    for process in psutil.process_iter(["cmdline", "pid"]):
        if process.info["cmdline"] == [*command, run_id]:
            kill_group(process.info["pid"])


def kill_group(pid: int) -> None:
    """SIGKILL to the worker and whatever it started (it leads its own process group)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended in the meantime
        os.killpg(pid, signal.SIGKILL)


def how_it_ended(returncode: int | None) -> str:
    """' (signal 9, SIGKILL)' for the end of our own child, empty when we cannot know."""
    if returncode is None:
        return ""
    if returncode >= 0:
        return f" (exit status {returncode})"
    try:
        return f" (signal {-returncode}, {signal.Signals(-returncode).name})"
    except ValueError:
        return f" (signal {-returncode})"
