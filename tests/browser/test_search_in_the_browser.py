"""Searching in the page: the form below the result, the population while it grows, Stop, going on, the end."""

from __future__ import annotations

import pytest
from browser_steps import choose, open_view, says, text

BEST = "#generations-chart .scatterlayer .points path"


def ask_for(page, generations):
    """Fill the folded form: the smallest model, the bundled text, short windows."""
    open_view(page, "next")
    if not page.locator("#search-start").is_visible():
        page.locator("#search .label-wrap").click()
    page.wait_for_selector("#search-start")
    choose(page, "#search-model", "Tiny Llama")
    for box in ("#search-text", "#search-eval-text"):
        choose(page, box, "Wikipedia summaries, bundled sample")
    for box, value in (
        ("#search-keep", 0.7),
        ("#search-generations", generations),
        ("#search-evolution-population", 6),
        ("#search-samples", 6),
        ("#search-length", 32),
        ("#search-held-out", 2),
        ("#search-eval-samples", 2),
        ("#search-eval-length", 32),
    ):
        page.locator(f"{box} input").fill(str(value))
        page.locator(f"{box} input").press("Tab")


@pytest.mark.slow
def test_a_search_is_watched_stopped_and_gone_on_with(open_page):
    page = open_page()
    ask_for(page, -1)
    says(page, "#search-needs", "from 0 to")
    ask_for(page, 5000)
    says(page, "#search-needs", "memory ·")
    page.locator("#search-start").click()
    page.wait_for_function("location.search.includes('run=')")
    says(page, "#status", "Searching: generation", 90)
    page.wait_for_function(f"document.querySelectorAll('{BEST}').length > 8", timeout=60_000)
    page.locator("#stop").click()
    says(page, "#status", "Stopped after generation", 60)
    page.locator("#search-go-on").click()
    says(page, "#status", "Searching: generation", 90)
    page.locator("#stop").click()
    says(page, "#status", "Stopped after generation", 60)
    page.locator("#search-finish").click()
    says(page, "#generations-note", "uniform widths, compensated", 120)
    assert not page.locator("#search-finish").is_visible()


@pytest.mark.slow
def test_the_end_of_a_search_is_shown(open_page):
    page = open_page()
    ask_for(page, 3)
    page.locator("#search-start").click()
    page.wait_for_function("location.search.includes('run=')")
    says(page, "#generations-note", "uniform widths", 120)
    page.wait_for_selector(BEST)
    assert "best so far" in page.locator("#generations-chart").inner_text()
    assert "start" in text(page, "#figures")
    assert not page.locator("#search-go-on").is_visible()
