"""A race from one press to its finding, through the real worker."""

from __future__ import annotations

import httpx
import pytest
from browser_app import patient
from browser_steps import (
    choose_tiny,
    open_view,
    prune,
    race_against,
    run_of,
    says,
    scrolls_sideways,
    show_table,
    wait_for_end,
)

pytestmark = pytest.mark.browser
PATIENCE = 240  # three workers, one after another, on a machine that may do something else as well
_ON_SCREEN = "document.querySelector('#race-chart').getBoundingClientRect().top"
CURVES = "#race-chart .scatterlayer .trace .points"


def curves(page) -> int:
    """Lines of the race that have at least one point."""
    return page.locator(f"{CURVES}:has(path)").count()


def wait_for_finding(page) -> None:
    """Who leads, or that nobody does: the windows are few here."""
    finding = "/leads: .* against|No clear lead: |are level at/"
    page.wait_for_function(
        f"{finding}.test(document.querySelector('#race-chart .chart-title').innerText)",
        timeout=1000 * PATIENCE,
    )


@pytest.fixture(scope="module")
def race(app, browser):
    """A race that is over: the id of the run that was chosen, of three that were queued by one press."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(app.address)
    page.wait_for_selector("#prune")
    choose_tiny(page, samples=6, length=48)
    race_against(page, "SparseGPT", "Wanda")
    run_id = prune(page)
    wait_for_finding(page)
    context.close()
    return run_id


@pytest.mark.slow
def test_three_curves_appear_by_one_press_and_the_finding_ends_them(app, open_page):
    page = open_page()
    assert not page.locator("#race-section").is_visible()
    choose_tiny(page, samples=40, length=256)
    race_against(page, "SparseGPT", "Wanda")
    run_id = prune(page)
    open_view(page, "others")
    says(page, "#race-chart .chart-title", "Race of three methods")
    wait_for_end(page, PATIENCE)
    assert curves(page) < 3, "the race was over before it could be watched"
    page.locator(".rivals a", has_text="Wanda").focus()
    page.evaluate("document.querySelector('#race-chart').scrollIntoView({ block: 'center' })")
    place = page.evaluate(_ON_SCREEN)
    zoom_in(page)
    zoomed = shown_range(page)
    with patient("three curves in the race", PATIENCE) as until:
        until(lambda: curves(page) == 3)
    wait_for_finding(page)
    assert run_of(page) == run_id and shown_range(page) == zoomed
    page.locator("#standing-chart .barlayer path").first.wait_for(state="attached")  # above what is looked at
    assert page.evaluate(_ON_SCREEN) == pytest.approx(place, abs=1), "what is looked at stays where it is"
    ticks = "document.querySelector('#perplexity-chart .chart-host')._fullData[1]?.x.length"
    assert page.evaluate(ticks) == 2, "the rivals are on the pruned bar as well"
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2500)
    assert not [url for url in asked if "/live" in url], "a race that is over is not asked about any more"


def zoom_in(page) -> None:
    box = page.locator("#race-chart .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    page.mouse.up()
    page.locator("#race-chart [data-tool=reset]").wait_for()


def shown_range(page) -> list:
    return page.evaluate("document.querySelector('#race-chart .chart-host')._fullLayout.xaxis.range")


@pytest.mark.slow
def test_focus_stays_on_a_link_while_the_race_goes_on(open_page):
    page = open_page()
    choose_tiny(page, samples=41, length=256)
    race_against(page, "SparseGPT", "Wanda")
    prune(page)
    wait_for_end(page, PATIENCE)
    open_view(page, "others")
    show_table(page, "race")
    link = page.locator("#race-table a", has_text="SparseGPT")
    link.focus()
    waiting = link.evaluate("link => link.closest('tr').innerText")
    wait_for_finding(page)
    assert link.evaluate("link => link.closest('tr').innerText") != waiting
    assert page.evaluate("document.activeElement.innerText") == "SparseGPT"


@pytest.mark.slow
def test_a_rival_opens_from_the_note_and_from_the_table(open_page, race):
    page = open_page(f"?run={race}&view=others")
    page.locator(".rivals a", has_text="Wanda").click()
    page.wait_for_function("id => !location.search.includes(id)", arg=race)
    says(page, "#headline", "Wanda · 2:4")
    open_view(page, "others")
    show_table(page, "race")
    rows = page.locator("#race-table tbody tr")
    rows.first.wait_for()
    assert rows.count() == 3 and "(shown)" in rows.nth(2).inner_text()
    rows.nth(0).locator("a").click()
    page.wait_for_function("id => location.search.includes(id)", arg=race)


@pytest.mark.slow
def test_the_dense_model_is_measured_once_for_all_of_them(app, open_page, race):
    page = open_page(f"?run={race}&view=others")
    page.locator(".rivals a", has_text="Wanda").click()
    says(page, "#headline", "Wanda · 2:4")
    open_view(page, "overview")
    show_table(page, "perplexity")
    says(page, "#perplexity-table", "(measured once, reused)")
    dense = {
        httpx.get(f"{app.address}/studio/runs/{run}/results.json").json()["perplexity"]["dense"]
        for run in (race, run_of(page))
    }
    assert len(dense) == 1


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_race_fits_a_narrow_screen(open_page, race, theme):
    page = open_page(f"?run={race}&view=others", width=390, height=844, color_scheme=theme)
    page.locator("#race-chart .legendtext").first.wait_for()
    show_table(page, "race")
    page.locator("#race-table tbody tr").first.wait_for()
    wait_for_finding(page)
    assert not scrolls_sideways(page)
