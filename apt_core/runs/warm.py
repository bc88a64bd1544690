"""A process that has imported what every worker imports, and becomes one by forking whenever a run begins.

Importing torch and transformers takes a worker several seconds of processor time, the same for each run of a sweep. The
launcher keeps one process that has done it (`runs.starting`): it computes nothing, so it has no threads of torch, and a
copy of it is a worker as good as a fresh one, with memory, limits and faults of its own. It shows the run's id on its
command line, as any worker does. Linux only, and not beside a GPU: CUDA does not survive a fork.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import random
import selectors
import socket
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

SOCKET = "APT_WARM_SOCKET"  # environment: the number of the socket on which the launcher asks
PLACEHOLDER = "."  # so many as a run's id is long stand where it will be on the command line
READY = b"r"
_MOST_BYTES = 1 << 20  # of a request
_IDLE_SECONDS = 600.0
_LOOK_EVERY_SECONDS = 0.2
_ARG_START = 45  # of the fields of /proc/PID/stat behind the name
_WHAT_EVERY_RUN_IMPORTS = (
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.tokenization_utils_tokenizers",
    "apt_core.estimate.placing",
    "apt_core.execute.prune",
    "apt_core.execute.prune_blocks",
    "apt_core.measure.divergence",
    "apt_core.methods.named",
    "apt_core.models.load.loading",
    "apt_core.models.load.skeleton",
)


class Request(NamedTuple):
    """run: its id. environment: the worker's whole environment."""

    run: str
    environment: dict[str, str]

    def packed(self) -> bytes:
        return json.dumps(self._asdict()).encode()


class Copied(NamedTuple):
    """What a copy knows. run: its id. spared: seconds of the processor that importing would have taken it."""

    run: str
    spared: float


def is_placeholder(run_id: str) -> bool:
    return bool(run_id) and set(run_id) == {PLACEHOLDER}


def become_a_worker(idle_seconds: float = _IDLE_SECONDS) -> Copied | None:
    """Returns in every copy; None in the warm process itself, once nobody asks any more."""
    place = _place_of_the_id()
    asking = socket.socket(fileno=int(os.environ.pop(SOCKET)))
    if place is None:
        return None
    begun = time.process_time()
    for name in _WHAT_EVERY_RUN_IMPORTS:
        with contextlib.suppress(ImportError):  # another release of a library: the run imports what there is
            import_module(name)
    spared = time.process_time() - begun
    gc.collect()
    gc.freeze()  # so that collecting garbage copies no page
    asking.send(READY)
    run_id = _Copies(asking, place, idle_seconds).wait()
    return Copied(run_id, spared) if run_id is not None else None


class _Copies:
    """The workers that this process has become, and whoever waits to hear how they ended."""

    def __init__(self, asking: socket.socket, place: int, idle_seconds: float):
        self._asking = asking
        self._place = place
        self._idle_seconds = idle_seconds
        self._tellers: dict[int, int] = {}  # pid -> the pipe into which its exit status goes

    def wait(self) -> str | None:
        """In a copy the id of its run."""
        asked_at = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._asking, selectors.EVENT_READ)
            while self._tellers or time.monotonic() - asked_at < self._idle_seconds:
                ready = selector.select(_LOOK_EVERY_SECONDS)
                if self._tell_of_the_ended():
                    asked_at = time.monotonic()  # the next run may follow soon
                if not ready:
                    continue
                asked_at = time.monotonic()
                content, files, *_ = socket.recv_fds(self._asking, _MOST_BYTES, 3)
                if not content:  # the launcher is gone; the workers stay
                    return None
                if run_id := self._copy(Request(**json.loads(content)), files):
                    return run_id
        return None

    def _copy(self, request: Request, files: list[int]) -> str | None:
        """files: the worker's input and log, and the pipe of its exit status. The run's id in the copy, else None."""
        entering, log, telling = files
        pid = os.fork()
        if pid == 0:
            self._settle_in(request, entering, log, telling)
            return request.run
        os.close(entering)
        os.close(log)
        self._tellers[pid] = telling
        with contextlib.suppress(OSError):  # the launcher is gone: the worker finds its run claimed by nobody
            self._asking.send(str(pid).encode())
        return None

    def _settle_in(self, request: Request, entering: int, log: int, telling: int) -> None:
        """Everything that would tell a copy from a worker that was started afresh."""
        os.setsid()
        os.dup2(entering, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for number in (entering, log, telling, *self._tellers.values()):
            os.close(number)
        self._asking.close()
        os.environ.clear()
        os.environ.update(request.environment)
        ctypes.memmove(self._place, request.run.encode(), len(request.run))
        sys.argv[1] = request.run
        _share_the_cores()
        _seed_anew()
        gc.unfreeze()

    def _tell_of_the_ended(self) -> bool:
        """Whether any has."""
        before = len(self._tellers)
        while self._tellers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            telling = self._tellers.pop(pid)
            with contextlib.suppress(OSError):  # nobody waits for it
                os.write(telling, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(telling)
        return len(self._tellers) < before


def _share_the_cores() -> None:
    """A worker that is started afresh reads OMP_NUM_THREADS when it imports torch; here that was before."""
    threads, torch = os.environ.get("OMP_NUM_THREADS", ""), sys.modules.get("torch")
    if torch and threads.isdigit() and int(threads) > 0:
        torch.set_num_threads(int(threads))


def _seed_anew() -> None:
    """Copies begin with the same state of every generator that was made before the fork."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.seed()


def _place_of_the_id() -> int | None:
    """The address in this process of the last word of its command line; None where it cannot be found."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = Path("/proc/self/cmdline").read_bytes()
        after_the_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begin = int(after_the_name[_ARG_START])
        last = sys.argv[1].encode()
        place = begin + len(words) - len(last) - 1
        if begin and words.endswith(b"\0" + last + b"\0") and ctypes.string_at(place, len(last)) == last:
            return place
    return None
