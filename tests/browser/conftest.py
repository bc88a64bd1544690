"""The real app in a process of its own, and a real Chromium to look at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_app import App

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ensure_chromium import find_chromium

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]


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
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -r tests/requirements.txt")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(app, browser):
    """open_page('?run=...', width=390, ...) -> a page of a new visitor; fails the test on a script error."""
    contexts, errors = [], []

    def opened(query: str = "", width: int = 1280, height: int = 900, address: str = "", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address or app.address}/{query}")
        page.wait_for_selector("#prune", state="attached")  # hidden where the chooser folds
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors, errors
