"""The tour: offered once by its button, driven by keyboard to the end or to Escape, from this server alone."""

from __future__ import annotations

import pytest
from browser_steps import says, scrolls_sideways
from test_accessible import found

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def popover(page, title: str) -> None:
    page.locator(".driver-popover-title", has_text=title).wait_for()


def test_it_is_offered_once_and_escape_ends_it(app, open_page):
    page = open_page(reduced_motion="reduce")  # keys are not heard while a step moves in
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_selector("#layers-chart .main-svg")  # the page has settled
    says(page, ".masthead [data-tour]", "New here?")
    assert page.locator(".driver-popover").count() == 0  # never pushed
    page.locator(".masthead [data-tour]").press("Enter")
    popover(page, "The verdict")
    page.keyboard.press("ArrowRight")
    popover(page, "One model")
    page.keyboard.press("Escape")
    page.locator(".driver-popover").wait_for(state="detached")
    assert page.locator(".masthead [data-tour]").inner_text() == "Tour"
    assert asked and all(url.startswith((app.address, "data:", "blob:")) for url in asked)
    page.reload()
    page.wait_for_selector(".headline")
    page.wait_for_timeout(600)
    assert page.locator(".masthead [data-tour]").inner_text() == "Tour"


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_every_step_lights_up_something_that_is_there_and_is_accessible(open_page, width, theme):
    page = open_page("?tab=methods", width=width, height=720, color_scheme=theme, reduced_motion="reduce")
    page.locator(".masthead [data-tour]").click()
    popover(page, "The verdict")  # back under Explore
    steps = int(page.locator(".driver-popover-progress-text").inner_text().split()[-1])
    assert 5 <= steps <= 7
    for step in range(1, steps + 1):
        says(page, ".driver-popover-progress-text", f"{step} of {steps}")
        box = page.locator(".driver-popover").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and 0 <= box["y"] < 720, step
        assert page.locator(".driver-active-element").count() == 1
        assert page.evaluate("document.querySelector('.driver-popover').contains(document.activeElement)")
        assert not page.locator(".driver-active-element[aria-expanded]").count()
        assert found(page) == [], step
        page.keyboard.press("Enter" if step == steps else "ArrowRight")
    page.locator(".driver-popover").wait_for(state="detached")
    assert not scrolls_sideways(page)
