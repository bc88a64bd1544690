"""axe-core finds nothing serious on any tab, light and dark, wide and narrow."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

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
def test_unfolded_it_is_accessible_too(open_page):
    page = open_page()
    for summary in page.locator("details > summary").all():
        if summary.is_visible():
            summary.click()
    page.locator("#advanced .label-wrap").click()
    page.locator("[data-all-methods]").click()
    page.wait_for_timeout(500)
    assert found(page) == []
