"""The layer chart of a thousand points is drawn, zoomed into and had back whole."""

from __future__ import annotations

import pytest
from browser_app import patient
from browser_steps import points

from apt_core.runs.store import Store
from tests.runs.many_runs import many_runs

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ALL = 1_000
_RANGE = "document.querySelector('#layers-chart .chart-host')._fullLayout.xaxis.range"


@pytest.fixture
def large(app):
    """A run of the app with a thousand layers; gone afterwards."""
    store = Store(app.cache / "data")
    (made,) = many_runs(store.root, 1, layers=ALL, tail="e1e1")
    yield made
    store.delete(made)


def test_a_thousand_points_are_drawn_and_zoomed(open_page, large):
    page = open_page(f"?run={large}")
    with patient("a thousand points", 20) as until:
        until(lambda: points(page) == ALL)
    whole = page.evaluate(_RANGE)
    assert whole[0] < 0 and whole[1] > (ALL - 1) // 7
    box = page.locator("#layers-chart .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5, steps=6)
    page.mouse.up()
    with patient("the zoom", 20) as until:
        until(lambda: page.evaluate(_RANGE)[1] - page.evaluate(_RANGE)[0] < 0.4 * (whole[1] - whole[0]))
    low, high = page.evaluate(_RANGE)
    assert whole[0] < low < high < whole[1] and points(page) > 0
    page.locator("#layers-chart [data-tool=reset]").click()
    with patient("the whole chart", 20) as until:
        until(lambda: page.evaluate(_RANGE) == pytest.approx(whole, abs=1) and points(page) == ALL)
