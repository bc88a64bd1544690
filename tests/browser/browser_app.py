"""`python app.py` as a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class App:
    """`python app.py` on a free port; can be killed and started again."""

    def __init__(self, cache: Path, script: str = "app.py", **environment: str):
        self._script = script
        self.port = _free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        ours = {"APT_CACHE": str(cache), "OMP_NUM_THREADS": "1", "APT_WARM": "0"}
        self._env = os.environ | ours | environment
        self.cache = cache
        self._log = cache / "app.log"
        self._process: subprocess.Popen | None = None
        self.seconds_to_start = 0.0

    def start(self) -> App:
        begun = time.monotonic()
        with open(self._log, "ab") as log:
            command = [sys.executable, self._script, "--port", str(self.port)]
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=log, stderr=log)
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() - begun > 60:
                raise AssertionError(f"The app did not start:\n{self._log.read_text('utf-8')[-3000:]}")
            time.sleep(0.1)
        self.seconds_to_start = time.monotonic() - begun
        return self

    def kill(self) -> None:
        """As the system would: without a word."""
        self._process.kill()
        self._process.wait(timeout=10)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()

    def files_with(self, secret: str) -> list[Path]:
        """The files of cache and runs in which these letters are; some come and go while one looks."""
        found = []
        for path in self.cache.rglob("*"):
            with suppress(OSError):
                found += [path] if path.is_file() and secret.encode() in path.read_bytes() else []
        return found

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")


@contextmanager
def patient(what: str, seconds: float = 30.0):
    """with patient('the run to end') as until: until(lambda: condition)."""

    def until(condition) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"Waited {seconds:g} s in vain for {what}.")
            time.sleep(0.1)

    yield until


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
