"""The report in a real browser that has no network: charts are drawn, and nothing is asked for."""

from __future__ import annotations

import pytest
from browser_app import patient
from report_runs import NASTY, a_race, hostile, the_report

from apt_core.methods import METHODS
from apt_core.reports.html import to_html

pytestmark = pytest.mark.browser


@pytest.fixture
def opened(browser, tmp_path):
    """opened(records, **context) -> (page, requests, complaints) of the report, in a browser without a network."""
    contexts = []

    def open_it(*records, **options):
        file = tmp_path / "report.html"
        file.write_text(to_html(the_report(*records)), encoding="utf-8")
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        requests, complaints = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        return page, requests, complaints

    yield open_it
    for context in contexts:
        context.close()


def draw_all(page):
    """Scroll to every chart, as a reader does."""
    for place in range(page.locator("[data-chart]").count()):
        host = page.locator("[data-chart]").nth(place)
        host.scroll_into_view_if_needed()
        host.locator(".main-svg").first.wait_for()


def test_every_chart_is_drawn_without_a_request(opened):
    page, requests, complaints = opened(*a_race("apt", "wanda"))
    draw_all(page)
    assert page.locator(".scatterlayer path.point").count() > 10
    of_each = page.locator('[data-chart^="perplexity-"] .barlayer path')  # dense and pruned of both runs
    assert of_each.count() == 4
    assert requests == [page.url] and complaints == []


def test_what_a_record_says_runs_nothing(opened):
    page, requests, complaints = opened(hostile())
    page.on("dialog", lambda dialog: complaints.append("a dialog"))
    draw_all(page)
    assert NASTY in page.locator("body").text_content()
    assert page.locator("img").count() == 0
    assert requests == [page.url] and complaints == []


@pytest.mark.parametrize(
    "width", [390, *(pytest.param(wider, marks=pytest.mark.slow) for wider in (768, 1440))]
)
def test_it_fits_the_screen(opened, width):
    page, *_ = opened(*a_race("apt", "wanda"), viewport={"width": width, "height": 844})
    draw_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_dark_where_the_system_is_and_light_on_paper(opened):
    page, *_ = opened(*a_race("apt", "wanda"), color_scheme="dark")
    draw_all(page)
    ground = "getComputedStyle(document.body).getPropertyValue('--apt-page').trim()"
    bar = (
        "getComputedStyle(document.querySelector('[data-chart^=\"perplexity-\"] .barlayer .point path')).fill"
    )
    assert page.evaluate(ground) == "#111214" and page.evaluate(bar) == "rgb(138, 180, 248)"
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    page.wait_for_function(f"{bar} === 'rgb(47, 93, 155)'")
    assert page.evaluate(ground) == "#FBFAF7"


def test_on_paper_every_chart_is_drawn_without_scrolling(opened):
    page, *_ = opened(*a_race("apt", "wanda"), viewport={"width": 1000, "height": 300})
    page.wait_for_selector(".main-svg")
    charts = page.locator("[data-chart]").count()
    assert page.locator("[data-chart]:has(.main-svg)").count() < charts
    page.pdf()
    assert page.locator("[data-chart]:has(.main-svg)").count() == charts


@pytest.mark.slow
def test_eight_runs_open_offline_without_a_request(opened):
    methods = list(METHODS)[:8]
    page, requests, complaints = opened(*a_race(*methods), viewport={"width": 1440, "height": 900})
    draw_all(page)
    for chart in ("perplexities-compared", "curves-compared"):
        assert page.locator(f'[data-chart="{chart}"] .main-svg').count() > 0
    assert page.locator("#overview table").first.locator("tbody tr").count() == 8
    assert page.locator("ul.paired li").count() == 7
    assert requests == [page.url] and complaints == []
    for width in (390, 768):
        page.set_viewport_size({"width": width, "height": 844})
        with patient("the charts to be drawn narrower") as until:
            until(lambda width=width: page.evaluate("document.documentElement.scrollWidth") <= width)
