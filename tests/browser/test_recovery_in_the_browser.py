"""Training what was pruned, in the page: the form below the run, its curve while it falls, Stop and going on."""

from __future__ import annotations

import pytest
from browser_steps import choose, choose_tiny, open_view, prune, says, text, wait_for_end

POINTS = "#recovery-chart .scatterlayer .points path"


def ask_for(page, steps):
    """Fill the folded form: the bundled text, short windows."""
    open_view(page, "next")
    if not page.locator("#recover-start").is_visible():
        page.locator("#recover .label-wrap").click()
    for box in ("#recover-training-text", "#recover-eval-text"):
        choose(page, box, "Wikipedia summaries, bundled sample")
    for box, value in (
        ("#recover-training-length", 32),
        ("#recover-training-samples", 64),
        ("#recover-eval-samples", 2),
        ("#recover-eval-length", 32),
        ("#recover-optimiser-steps", steps),
    ):
        page.locator(f"{box} input").fill(str(value))
        page.locator(f"{box} input").press("Tab")


def ask_for_the_law(page):
    """Constants with intervals, and how many tokens until the loss is near the dense one's."""
    open_view(page, "next")
    page.locator("#law .label-wrap").click()
    page.locator("#law-within input").fill("0.5")
    page.locator("#law-fit").click()
    says(page, "#law-said", "give a number from 1", 30)
    page.locator("#law-within input").fill("1.5")
    page.locator("#law-fit").click()
    says(page, "#law-said", "within 1.50", 60)
    said = page.locator("#law-said").inner_text()
    assert "95% interval" in said and "beta" in said and "of the dense perplexity" in said


@pytest.mark.slow
def test_a_pruned_run_is_recovered_stopped_and_gone_on_with(open_page):
    page = open_page()
    choose_tiny(page)
    pruned = prune(page)
    wait_for_end(page)
    ask_for(page, 0)
    says(page, "#recover-needs", "from 1 to")
    page.locator("#recover-start").click()
    says(page, "#recover-note", "from 1 to")
    ask_for(page, 3000)
    says(page, "#recover-needs", "memory ·")
    page.locator("#recover-start").click()
    page.wait_for_function("id => !location.search.includes(id)", arg=pruned)
    says(page, "#status", "Training: step", 60)
    page.wait_for_function(f"document.querySelectorAll('{POINTS}').length > 2", timeout=60_000)
    assert not page.locator("#recover").is_visible()
    page.locator("#stop").click()
    says(page, "#status", "Stopped after step", 60)
    page.locator("#recover-go-on").click()
    says(page, "#status", "Training: step", 60)
    page.wait_for_function(f"document.querySelectorAll('{POINTS}').length > 2", timeout=60_000)
    page.locator("#stop").click()
    says(page, "#status", "Stopped after step", 60)
    page.locator("#recover-finish").click()
    says(page, "#headline", "steps of SPP; the dense model has", 90)
    assert "3000" not in text(page, "#headline") and not page.locator("#recover-finish").is_visible()


@pytest.mark.slow
def test_the_end_of_a_recovery_is_shown(open_page):
    page = open_page()
    choose_tiny(page)
    prune(page)
    wait_for_end(page)
    ask_for(page, 64)
    page.locator("#recover-method label", has_text="Last blocks").click()
    page.locator("#recover-start").click()
    says(page, "#headline", "64 steps of Last blocks", 90)
    page.wait_for_selector(POINTS)
    assert "law of the first two thirds" in page.locator("#recovery-chart").inner_text()
    assert "L = a + b D^-beta" in text(page, "#recovery-note")
    ask_for_the_law(page)
    assert page.locator("#recover").is_visible() and not page.locator("#recover-go-on").is_visible()
