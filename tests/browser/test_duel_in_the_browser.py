"""Reading models beside one another: further runs, blind votes, several prompts. Slow: two runs are made first."""

from __future__ import annotations

import json

import httpx
import pytest
from browser_steps import (
    choose_method,
    choose_tiny,
    open_view,
    prune,
    says,
    scrolls_sideways,
    text,
    wait_for_end,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def two_runs(app, browser):
    """The tiny model pruned by APT, then by magnitude."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, runs = context.new_page(), []
    page.goto(app.address)
    page.wait_for_selector("#prune")
    choose_tiny(page)
    for method in ("APT", "Magnitude"):
        choose_method(page, method)
        page.wait_for_timeout(500)  # the check of the new choice
        runs.append(prune(page))
        wait_for_end(page)
    context.close()
    return runs


def ready(page, prompt="Why is the sky blue?"):
    open_view(page, "answers")
    page.wait_for_function("document.querySelector('#ask') && !document.querySelector('#ask').disabled")
    page.locator("#prompt textarea").fill(prompt)


def add_the_other(page):
    page.locator("#ask-more input").click()
    page.locator("#ask-more").get_by_role("option").first.click()
    page.keyboard.press("Escape")


def test_a_further_run_answers_beside_dense_and_pruned(open_page, two_runs):
    page = open_page(f"?run={two_runs[0]}")
    ready(page)
    add_the_other(page)
    page.locator("#ask").click()
    says(page, "#reading-state", "Done after", 90)
    heads = page.locator(".duel h3").all_inner_texts()
    assert len(heads) == 3 and heads[0].startswith("Dense") and "Magnitude" in heads[2]
    page.locator("#ask-gap input").check()
    says(page, "#gaps", "Mean KL", 60)
    assert page.locator("#gaps .said").count() == 2
    with page.expect_download() as coming:
        page.locator("#gaps .downloads a").click()
    assert coming.value.suggested_filename == f"token-probabilities-{two_runs[0]}.csv"
    page.set_viewport_size({"width": 390, "height": 800})
    assert not scrolls_sideways(page)


def test_the_slides_name_the_prompt_that_was_asked(open_page, two_runs):
    page = open_page(f"?run={two_runs[0]}")
    ready(page, "What is the capital of France?")
    page.locator("#ask").click()
    says(page, "#reading-state", "Done after", 90)
    page.locator("#prompt textarea").fill("Something that nobody has asked yet")
    page.locator("#present a").click()
    title = page.locator('.presenter [data-slide="answers"] h2').last  # after the one that every run asks
    title.wait_for(state="attached")
    assert title.text_content() == "Both were asked: What is the capital of France?"


def test_a_blind_reading_says_nothing_before_the_vote(open_page, two_runs):
    page = open_page(f"?run={two_runs[0]}")
    ready(page)
    page.locator("#ask-blind input").check()
    page.locator("#ask").click()
    page.locator("#vote-a").wait_for(timeout=90_000)
    html = page.locator("#both").inner_html()
    for word in ("dense", "Dense", "pruned", "Pruned", two_runs[0]):
        assert word not in html
    assert not page.locator("#ask-gap").is_visible() and page.locator("#gaps a").count() == 0
    page.locator("#vote-a").click()
    says(page, "#tally", "not a benchmark")
    heads = " ".join(text(page, f".duel section:nth-child({place}) h3") for place in (1, 2))
    assert ("A: Dense" in heads) == ("B: Pruned" in heads) != ("A: Pruned" in heads)
    assert "You preferred" in text(page, "#reading-state") and not page.locator("#vote-a").is_visible()
    page.reload()  # the votes of this browser are found again
    ready(page)
    page.locator("#ask-blind input").check()
    page.locator("#ask").click()
    page.locator("#vote-tie").wait_for(timeout=90_000)
    page.locator("#vote-tie").click()
    says(page, "#tally", "ties 1")
    assert "Of the 1 that decide" in text(page, "#tally")


def test_several_prompts_are_a_table_with_files(app, open_page, two_runs):
    page = open_page(f"?run={two_runs[0]}")
    ready(page)
    page.locator("#several .label-wrap").click()
    page.locator("#set-bundled").click()
    page.wait_for_function("document.querySelector('#prompt-set textarea').value.includes('sky')")
    page.locator("#prompt-set textarea").fill("One\n\nTwo <b>\nThree")
    page.locator("#set-ask").click()
    says(page, "#set-state", "3 of 3 prompts answered", 120)
    assert page.locator("table.answers tbody tr").count() == 3
    links = page.locator("#set-table .downloads a").evaluate_all("links => links.map(link => link.href)")
    assert [link.rsplit(".", 1)[-1] for link in links] == ["csv", "json", "md"]
    record = json.loads(httpx.get(links[1]).text)
    assert [row["prompt"] for row in record["rows"]] == ["One", "Two <b>", "Three"]
    assert httpx.get(f"{app.address}/studio/answers/nobody/x.csv").status_code == 404
    page.set_viewport_size({"width": 390, "height": 800})
    assert not scrolls_sideways(page)
