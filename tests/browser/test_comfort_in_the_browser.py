"""Runs are labelled, found, deleted together and had back, by mouse and by keyboard."""

from __future__ import annotations

import pytest
from browser_app import App
from browser_steps import says, scrolls_sideways

from tests.runs.many_runs import many_runs

pytestmark = pytest.mark.browser
AMOUNT = 60


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """An app of its own, with runs that were made before it started."""
    cache = tmp_path_factory.mktemp("comfort")
    many_runs(cache / "data", AMOUNT, layers=2)
    app = App(cache, APT_DATA=str(cache / "data")).start()
    yield app
    app.stop()


def open_runs(page):
    page.locator("#tabs button[role=tab]", has_text="Runs").click()
    page.locator("#runs tr[data-run]").first.wait_for()
    return page


def rows(page) -> list[str]:
    return page.locator("#runs tr[data-run]").evaluate_all("rows => rows.map(row => row.dataset.run)")


def wait_for_rows(page, amount: int) -> None:
    page.wait_for_function(
        "amount => document.querySelectorAll('#runs tr[data-run]').length === amount", arg=amount
    )


def test_runs_are_labelled_found_deleted_and_had_back(open_page):
    page = open_runs(open_page())
    first, second, *_ = rows(page)
    says(page, "#runs .pager", f"Runs 1 to 50 of {AMOUNT}")
    page.locator(f"tr[data-run='{first}'] [data-action=label]").press("Enter")
    page.locator("dialog[open]").wait_for()
    page.keyboard.type("My <b>best</b>")
    page.keyboard.press("Tab")
    page.keyboard.type("paper")
    page.keyboard.press("Enter")  # saves
    says(page, f"tr[data-run='{first}'] th", "My <b>best</b>")
    assert page.evaluate("document.activeElement.dataset.action") == "label", "the focus is back"
    page.locator("#runs-search input, #runs-search textarea").fill("#paper")
    wait_for_rows(page, 1)
    assert rows(page) == [first]
    page.locator("#runs-search input, #runs-search textarea").fill("")
    wait_for_rows(page, 50)
    for run in (first, second):
        page.locator(f"[data-pick='{run}']").check()
    page.locator("#compare-bar [data-action=delete]").click()
    says(page, "#runs-undo", "2 runs are deleted.")
    assert first not in rows(page) and second not in rows(page)
    page.wait_for_function("document.activeElement.dataset.action === 'undo'")
    page.keyboard.press("Enter")
    page.locator(f"tr[data-run='{first}']").wait_for()
    says(page, f"tr[data-run='{first}'] th", "My <b>best</b>")
    assert not page.locator(".undo").is_visible()
    assert page.locator("#compare-bar [data-action=delete]").is_hidden(), "nothing is ticked any more"


@pytest.mark.slow
def test_the_list_turns_its_pages_and_keeps_what_is_ticked(open_page):
    page = open_runs(open_page())
    ticked = rows(page)[0]
    page.locator(f"[data-pick='{ticked}']").check()
    page.locator("#runs [data-action=page]", has_text="Next").click()
    wait_for_rows(page, AMOUNT - 50)
    other = rows(page)[0]
    page.locator(f"[data-pick='{other}']").check()
    says(page, "#compare-bar", "Compare 2 runs")
    page.locator("#runs [data-action=page]", has_text="Previous").click()
    wait_for_rows(page, 50)
    assert page.locator(f"[data-pick='{ticked}']").is_checked()


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 768, 1280, 1440])
def test_nothing_scrolls_sideways(open_page, width):
    page = open_runs(open_page(width=width, height=844))
    assert not scrolls_sideways(page)
    page.locator("#runs [data-action=label]").first.click()
    page.locator("dialog[open]").wait_for()
    assert not scrolls_sideways(page)
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")
