"""The real app in a process of its own, and a real Chromium to look at it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from ensure_chromium import find_chromium  # noqa: E402

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]


class App:
    """`python app.py` on a free port; can be killed and started again."""

    def __init__(self, cache: Path):
        self.port = _free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._env = os.environ | {"APT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        self._log = cache / "app.log"
        self._process: subprocess.Popen | None = None
        self.seconds_to_start = 0.0

    def start(self) -> App:
        begun = time.monotonic()
        with open(self._log, "ab") as log:
            command = [sys.executable, "app.py", "--port", str(self.port)]
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

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")


@pytest.fixture(scope="session")
def app(tmp_path_factory) -> Iterator[App]:
    app = App(tmp_path_factory.mktemp("app")).start()
    yield app
    app.stop()


@pytest.fixture(scope="session")
def browser():
    executable = find_chromium()
    if executable is None:
        pytest.skip(
            "No Chromium on this machine: install it (Debian: apt-get install chromium) or set APT_CHROMIUM."
        )
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -r requirements-test.txt")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(app, browser):
    """open_page('?run=...', width=390, ...) -> a page of a new visitor; fails the test on a script error."""
    contexts, errors = [], []

    def opened(query: str = "", width: int = 1280, height: int = 900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{app.address}/{query}")
        page.wait_for_selector("#prune")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors, errors


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
