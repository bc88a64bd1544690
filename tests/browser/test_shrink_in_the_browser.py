"""A smaller model from the page: its own options, its verdict, and the chart of what went."""

from __future__ import annotations

import httpx
import pytest
from browser_steps import choose_method, choose_tiny, prune, says, wait_for_end

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_blocks_go_by_one_press(app, open_page):
    page = open_page()
    page.set_default_timeout(90_000)
    choose_tiny(page)
    choose_method(page, "Depth")
    assert page.locator("#sparsity").is_visible()
    assert not page.locator("#kind").is_visible() and not page.locator("#optional-layers").is_visible()
    page.locator("#sparsity input[type=number]").fill("50")
    page.keyboard.press("Tab")
    run_id = prune(page)
    wait_for_end(page, 120)
    says(page, "#structures-chart .chart-title", "1 of 2 blocks went")
    assert not page.locator("#layers-chart .chart-title").is_visible()
    found = httpx.get(f"{app.address}/studio/runs/{run_id}/results.json").json()
    assert found["kind"] == "shrink" and len(found["shrunk"]["kept"]) == 1
    assert found["parameters"]["pruned"] < found["parameters"]["dense"]
