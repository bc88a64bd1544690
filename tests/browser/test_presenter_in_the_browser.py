"""Slides over the whole screen: by keyboard alone, from a link and from the page, on every screen in both shades."""

from __future__ import annotations

import pytest
from browser_steps import says
from test_accessible import found

from apt_core.reports import samples

pytestmark = pytest.mark.browser
FIRST = next(iter(samples.load()))


def slide(page) -> str:
    return page.locator(".presenter .slide:not([hidden])").get_attribute("data-slide")


def number(page) -> str:
    return page.locator(".presenter .slide:not([hidden]) .slide-number").inner_text()


def test_a_link_opens_the_slides_and_the_keyboard_turns_and_ends_them(open_page):
    page = open_page(f"?present={FIRST}", height=720)
    page.wait_for_selector(".presenter")
    assert (slide(page), number(page)) == ("pruning", "1 / 6")
    assert page.evaluate("document.activeElement.dataset.slide") == "pruning"
    for key, name in (
        ("ArrowRight", "removed"),
        ("PageDown", "cost"),
        ("Space", "answers"),
        ("ArrowDown", "gain"),
        ("End", "verdict"),
        ("ArrowRight", "verdict"),
        ("ArrowLeft", "gain"),
        ("Home", "pruning"),
        ("ArrowLeft", "pruning"),
    ):
        page.keyboard.press(key)
        assert slide(page) == name, key
    page.keyboard.press("Escape")
    page.wait_for_selector(".presenter", state="detached")
    assert "present=" not in page.url
    says(page, "#headline", "Recorded sample")  # the page behind shows the run


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (390, 844)])
def test_every_slide_fits_its_screen_in_big_type_and_is_accessible(open_page, width, height, theme):
    page = open_page(
        f"?present={FIRST}", width=width, height=height, color_scheme=theme, reduced_motion="reduce"
    )
    page.wait_for_selector(".presenter")
    for _ in range(6):
        size = page.evaluate(
            "() => { const s = document.querySelector('.presenter .slide:not([hidden])');"
            " const h = s.querySelector('h2');"
            " return [s.scrollWidth - s.clientWidth, s.scrollHeight - s.clientHeight,"
            " parseFloat(getComputedStyle(h).fontSize)]; }"
        )
        assert size[0] <= 0, slide(page)
        if width >= 1280:
            assert size[1] <= 0 and size[2] >= 0.02 * width, (slide(page), size)
        assert found(page) == [], slide(page)
        page.keyboard.press("ArrowRight")


@pytest.mark.slow
def test_the_button_of_a_run_opens_them_and_the_focus_comes_back(open_page):
    page = open_page()
    page.locator("#present a").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".presenter")
    assert f"present={FIRST}" in page.url
    page.keyboard.press("?")  # no shortcut of the page behind
    page.locator(".presenter nav button", has_text="Next").click()
    assert slide(page) == "removed"
    page.keyboard.press("Escape")
    page.wait_for_selector(".presenter", state="detached")
    assert page.evaluate("document.activeElement.dataset.present") == FIRST


@pytest.mark.slow
def test_what_cannot_be_presented_is_a_sentence(open_page):
    page = open_page("?present=<img src=x onerror=alert(1)>")
    says(page, ".presenter", "There is no run '<img src=x onerror=alert(1)>'")
    assert page.locator(".presenter img").count() == 0


@pytest.mark.slow
def test_nothing_moves_where_the_system_asks_for_that(open_page):
    page = open_page(f"?present={FIRST}", reduced_motion="reduce")
    page.wait_for_selector(".presenter")
    moving = "getComputedStyle(document.querySelector('.presenter .slide:not([hidden]) .slide-body')).animationName"
    assert page.evaluate(moving) == "none"
