"""How the process of a run is started: by a warm one that has imported everything already, or else afresh."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from apt_core.estimate import machine
from apt_core.runs import ids, processes
from apt_core.runs.warm import PLACEHOLDER, READY, SOCKET, Request

WORKER_COMMAND = (sys.executable, "-m", "apt_core.runs.worker")
WORKER_LOG = "worker.log"  # in the folder of a run; `logs.bound` keeps it short
REPOSITORY = Path(__file__).resolve().parents[2]
_NVIDIA = Path("/proc/driver/nvidia")
_REPLY_SECONDS = 2.0
_WARM_BYTES = 400_000_000  # that it takes
_log = logging.getLogger(__name__)


class Child(Protocol):
    """A worker that this process has started."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class Starter:
    """Starts workers of the store in `root`, each in a session of its own: they survive the end of this process and of
    its terminal. command: by which they are started, without the run's id. warms: whether a warm process may be kept;
    left: bytes of memory that others leave it, None where nothing is limited.
    """

    def __init__(
        self,
        root: Path,
        command: Sequence[str] = WORKER_COMMAND,
        warms: bool = True,
        left: Callable[[], int | None] = lambda: None,
    ):
        self._root = root
        self._command = tuple(command)
        self._left = left
        self._warm: _Warm | None = None
        self._alone = threading.RLock()  # one thread at a time speaks with the warm process
        self._never = not (warms and may_be_warm(os.environ)) or self._command != WORKER_COMMAND

    def start(self, run_id: str, folder: Path, token: str | None, more: Mapping[str, str]) -> Child:
        """token: of the Hub, passed through a pipe. more: added to the environment. Raises OSError."""
        environment = self._environment() | dict(more)
        machine.give_way()  # long before the worker is there
        with self._alone, open(folder / WORKER_LOG, "ab") as log:
            if (warm := self._ready()) and (child := warm.copy(run_id, environment, token, log.fileno())):
                return child
            return self._afresh(run_id, environment, token, log.fileno())

    def warm_up(self) -> None:
        """Begin to prepare for a run that is still to come. Cheap to ask for again."""
        environment = self._environment()
        with self._alone:
            if self._never or (self._warm is not None and self._warm.serves(environment)):
                return
            self.cool_down()
            if not self._has_room(_WARM_BYTES):
                return
            with suppress(OSError):  # for want of memory, for instance: the run is started afresh
                self._warm = _Warm(self._command, environment)

    @property
    def warm(self) -> bool:
        """Whether the next run would begin with the libraries imported."""
        with self._alone:
            return self._ready() is not None

    def reap(self) -> None:
        """A warm process that nobody needed for long has ended by itself; it goes where others need its memory."""
        with self._alone:
            if self._warm is not None and (self._warm.ended() or not self._has_room(self._warm.held())):
                self.cool_down()

    def cool_down(self) -> None:
        """End the warm process; workers go on."""
        with self._alone:
            if self._warm is not None:
                self._warm.end()
                self._warm = None

    def _has_room(self, n_bytes: int) -> bool:
        left = self._left()
        return left is None or n_bytes <= left

    def _environment(self) -> dict[str, str]:
        ours = {"APT_DATA": str(self._root), "PYTHONUNBUFFERED": "1"}
        return processes.heavy_environment() | ours

    def _ready(self) -> _Warm | None:
        warm = self._warm
        return warm if warm is not None and warm.serves(self._environment()) and warm.ready() else None

    def _afresh(
        self, run_id: str, environment: Mapping[str, str], token: str | None, log: int
    ) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [*self._command, run_id],
            cwd=REPOSITORY,
            env=dict(environment),
            stdin=subprocess.PIPE if token else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if token and child.stdin:
            with contextlib.suppress(OSError), child.stdin:  # a worker that died at once is marked later
                child.stdin.write(f"{token}\n".encode())
        return child


def may_be_warm(environment: Mapping[str, str]) -> bool:
    """Whether a process may be copied here (Linux, no CUDA), and nobody has said APT_WARM=0."""
    return sys.platform == "linux" and not _NVIDIA.exists() and environment.get("APT_WARM", "1") != "0"


class _Warm:
    """The warm process, seen from the launcher."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]):
        self._environment = dict(environment)
        self._ready = False
        self._asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(
                [*command, PLACEHOLDER * ids.LENGTH],
                cwd=REPOSITORY,
                env=self._environment | {SOCKET: str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self._asking.close()
            raise
        finally:
            theirs.close()

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Whether it lives, in the environment of all runs; what a run has besides is added later."""
        return not self.ended() and dict(environment) == self._environment

    def ended(self) -> bool:
        return self._process.poll() is not None

    def held(self) -> int:
        """Bytes of memory, without the workers that it became."""
        with suppress(psutil.Error):
            return psutil.Process(self._process.pid).memory_info().rss
        return 0

    def ready(self) -> bool:
        """Whether it has imported everything by now."""
        if not self._ready:
            with suppress(OSError):  # nothing said yet
                self._ready = self._asking.recv(len(READY), socket.MSG_DONTWAIT) == READY
        return self._ready

    def copy(self, run_id: str, environment: Mapping[str, str], token: str | None, log: int) -> Child | None:
        """A worker for this run; None when no copy could be had."""
        ended, telling = os.pipe()
        entering, saying = os.pipe()
        try:
            self._asking.settimeout(_REPLY_SECONDS)
            request = Request(run_id, dict(environment)).packed()
            socket.send_fds(self._asking, [request], [entering, log, telling])
            pid = int(self._asking.recv(32))
            with suppress(OSError):  # a worker that died at once is marked later
                os.write(saying, f"{token}\n".encode() if token else b"")
        except (OSError, ValueError) as error:
            _log.warning("The warm process gave no worker (%s); one is started afresh.", error)
            os.close(ended)
            self.end()
            return None
        finally:
            for number in (entering, saying, telling):
                os.close(number)
        return _Copy(pid, ended)

    def end(self) -> None:
        self._asking.close()
        self._process.kill()
        self._process.wait()


class _Copy:
    """A worker that a warm process became. What it ended with comes through a pipe."""

    def __init__(self, pid: int, ended: int):
        self.pid = pid
        self._ended = ended
        self._status: int | None = None
        os.set_blocking(ended, False)

    def poll(self) -> int | None:
        """None while it works, and for ever where the warm process ended before it could say."""
        if self._status is None and self._ended >= 0:
            with suppress(BlockingIOError):
                said = os.read(self._ended, 32)
                self._close()
                self._status = int(said) if said else None
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutExpired, also where nobody will ever say it."""
        if self.poll() is None and self._ended >= 0:
            select.select([self._ended], [], [], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("a worker", timeout or 0.0)
        return status

    def _close(self) -> None:
        if self._ended >= 0:
            os.close(self._ended)
            self._ended = -1

    def __del__(self) -> None:
        """The launcher forgets a worker whose run has ended, whether it has read its status or not."""
        self._close()
