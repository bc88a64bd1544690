"""A sweep from its form to its charts; workers run a scripted pipeline, so it takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser_steps import choose_tiny, open_view, scrolls_sideways, show_table

from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.studies import bisection
from apt_core.ui.serving import served
from apt_core.ui.studio import Studio
from tests.runs.helpers import fake_command
from tests.ui.ui_helpers import FakeReader

pytestmark = pytest.mark.browser
PATIENCE = 180_000  # ms


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """The whole page in this process, over a store of its own."""
    store = Store(tmp_path_factory.mktemp("sweep"))
    launcher = Launcher(store, fake_command("sweeping"), interval=0.05, advance=bisection.advance)
    launcher.start()
    studio = Studio(store, launcher, FakeReader())
    with served(studio, "127.0.0.1", 0) as where:
        yield where
    launcher.stop()


@pytest.fixture
def visitor(address, browser):
    errors: list[str] = []

    def opened(query: str = "", width: int = 1280, height: int = 900):
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}{query}")
        page.wait_for_selector("#prune", state="attached")
        return page

    yield opened
    for context in list(browser.contexts):
        context.close()
    assert not errors, errors


def finished(page, runs: int) -> None:
    page.wait_for_function(
        f"document.querySelectorAll('#sweep tr[data-status=finished]').length === {runs}", timeout=PATIENCE
    )


@pytest.mark.slow
def test_a_sweep_from_its_form_to_its_charts(visitor):
    page = visitor()
    choose_tiny(page)
    page.get_by_role("tab", name="Sweep").click()
    page.get_by_label("Sparsities and patterns").fill("0.2, 0.4, 0.6")
    page.wait_for_function(
        "document.querySelector('#sweep-estimate').innerText.includes('6 runs, one after another')"
    )
    page.locator("#sweep-start").click()
    page.wait_for_selector("#sweep tr[data-run]")
    finished(page, 6)
    assert "6 of 6 runs have finished" in page.locator("#sweep").inner_text()
    page.wait_for_selector("#sweep-sparsity-chart .scatterlayer .trace")
    page.wait_for_selector("#sweep-parallel-chart .parcoords")
    show_table(page, "sweep-pareto")
    page.wait_for_selector("#sweep-pareto-table tbody tr")
    assert page.locator("#sweep-pareto-table tbody tr").count() == 6
    link = page.locator("#sweep a", has_text="link").get_attribute("href")
    study = page.locator("#sweep [data-study]").get_attribute("data-study")
    page.wait_for_url(f"**/?study={study}")
    page.locator("#sweep a[data-action=open]").first.click()
    open_view(page, "others")
    page.wait_for_selector("#sparsity-chart .scatterlayer .trace")
    assert page.locator("#sparsity-chart .scatterlayer .trace").count() >= 2
    page.wait_for_selector("#parallel-chart .parcoords")
    page.wait_for_url("**/?run=*")
    assert "study" not in page.url
    page.go_back()
    page.wait_for_function("document.documentElement.dataset.view === 'overview'")
    page.go_back()
    page.wait_for_url(f"**/?study={study}")
    assert page.locator("#sweep tr[data-run]").count() == 6
    page.reload()
    page.wait_for_selector("#sweep tr[data-run]")
    assert page.url.endswith(f"?study={study}")
    later = visitor()
    later.get_by_role("tab", name="Sweep").click()
    later.get_by_role("link", name="Tiny random Llama, 6 runs").click()
    later.wait_for_url(f"**/?study={study}")
    later.wait_for_selector("#sweep tr[data-run]")
    narrow = visitor(link, width=390, height=844)
    narrow.wait_for_selector("#sweep tr[data-run]")
    assert narrow.locator("#sweep tr[data-run]").count() == 6
    narrow.wait_for_selector("#sweep-pareto-chart .scatterlayer .trace")
    assert not scrolls_sideways(narrow)
