"""A run and a comparison on A4: no controls, nothing wider than the paper, charts drawn for it, light."""

from __future__ import annotations

import pytest

from apt_core.reports import samples

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PAPER = 703  # pixels of A4 between its margins

_ON_PAPER = "() => { window.dispatchEvent(new Event('beforeprint')); }"
_TOO_WIDE = f"""() => [...document.querySelectorAll('.chart[data-shown=yes] .main-svg, table, .headline, .figures')]
  .filter((each) => each.offsetParent !== null || each.getBoundingClientRect().width)
  .filter((each) => each.getBoundingClientRect().right > {PAPER} + 1 || each.getBoundingClientRect().left < -1)
  .map((each) => each.outerHTML.slice(0, 80))"""


def on_paper(page) -> None:
    page.evaluate(_ON_PAPER)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER, "height": 1000})
    page.wait_for_timeout(500)


def controls(page) -> list[str]:
    seen = "e => e.checkVisibility() && e.getBoundingClientRect().height > 0"
    return page.evaluate(
        f"() => [...document.querySelectorAll('button, input, textarea, [role=tab]')].filter({seen})"
        ".map(e => e.outerHTML.slice(0, 100))"
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_run_on_paper(open_page, theme):
    page = open_page(color_scheme=theme, width=1440)
    page.wait_for_selector("#layers-chart .scatterlayer path")
    on_paper(page)
    assert controls(page) == []
    assert page.evaluate(_TOO_WIDE) == []
    assert page.locator("#layers-chart .main-svg").first.is_visible() and page.locator(".duel").is_visible()
    ground = "getComputedStyle(document.body).getPropertyValue('--apt-page').trim()"
    assert page.evaluate(ground) == "#FBFAF7"
    page.emulate_media(media="screen")
    page.evaluate("() => { window.dispatchEvent(new Event('afterprint')); }")
    assert page.evaluate(ground) == ("#FBFAF7" if theme == "light" else "#111214")


def test_a_comparison_on_paper(open_page):
    ids = list(samples.load())[:2]
    page = open_page(f"?compare={','.join(ids)}", width=1440)
    page.wait_for_selector("#compare-curves-chart .scatterlayer path")
    on_paper(page)
    assert controls(page) == []
    assert page.evaluate(_TOO_WIDE) == []
    assert page.locator(".compared").is_visible()
    assert len(page.pdf(format="A4")) > 20_000
