"""axe-core finds nothing serious on any tab, light and dark, wide and narrow."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser_steps import choose_tiny, prune, says, wait_for_end

pytestmark = pytest.mark.browser
TABS = ("Explore", "Compare", "Sweep", "Runs", "Models", "Methods")
_SERIOUS = {"serious", "critical"}


def found(page) -> list[str]:
    """'rule: what it is about (first place)' of every serious finding."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']} ({one['nodes'][0]['html'][:120]})"
        for one in violations
        if one["impact"] in _SERIOUS
    ]


def open_tab(page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()
    page.wait_for_timeout(800)


def test_every_tab_is_accessible(open_page):
    page = open_page()
    for tab in TABS:
        open_tab(page, tab)
        assert found(page) == [], tab


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("tab", TABS)
def test_every_tab_is_accessible_in_the_dark_and_on_a_phone(open_page, tab, width):
    page = open_page(width=width, color_scheme="dark")
    if page.get_by_role("tab", name=tab, exact=True).is_visible():
        open_tab(page, tab)
        assert found(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("shade", ["light", "dark"])
@pytest.mark.parametrize("tab", TABS)
def test_unfolded_it_is_accessible_too(open_page, finished, tab, shade):
    """Explore of a finished run, so that every section of it is there."""
    page = open_page(f"?run={finished}", color_scheme=shade)
    says(page, "#inside", "Inside this layer", 30)
    open_tab(page, tab)
    unfold(page)
    assert found(page) == []


@pytest.fixture(scope="module")
def finished(app, browser):
    """A finished run of the tiny model."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(app.address)
    page.wait_for_selector("#prune")
    choose_tiny(page)
    run_id = prune(page)
    wait_for_end(page)
    context.close()
    return run_id


def unfold(page) -> None:
    """Open all that is folded and can be seen, and what folds inside of it."""
    folded = (
        "details:not([open]) > summary, button.label-wrap:not(.open), [data-all-methods][aria-expanded=false]"
    )
    for _ in range(3):
        page.evaluate(
            "(folded) => [...document.querySelectorAll(folded)].filter((one) => one.checkVisibility())"
            ".forEach((one) => one.click())",
            folded,
        )
        page.wait_for_timeout(400)
