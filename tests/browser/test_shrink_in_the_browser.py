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


def test_heads_and_channels_go_and_the_rest_makes_up_for_them(app, open_page):
    page = open_page()
    page.set_default_timeout(90_000)
    choose_tiny(page)
    choose_method(page, "LLM-Pruner")
    if not page.locator("#advanced .options-method-llm-pruner").is_visible():
        page.locator("#advanced .label-wrap").first.click()
    page.get_by_label("Compensate").check()
    page.locator("#sparsity input[type=number]").fill("50")
    page.keyboard.press("Tab")
    run_id = prune(page)
    wait_for_end(page, 120)
    says(page, "#headline", "LLM-Pruner (compensate yes)")
    found = httpx.get(f"{app.address}/studio/runs/{run_id}/results.json").json()
    left = {one["name"]: (one["after"], one["before"]) for one in found["shrunk"]["widths"]}
    assert found["options"]["compensate"] is True
    assert left["attention heads"] == (2, 4) and left["key-value heads"] == (1, 2)
    assert left["MLP channels"][0] < left["MLP channels"][1] == 176
    assert found["parameters"]["pruned"] < found["parameters"]["dense"]
    says(page, "#structures-chart .chart-title", "Every block is narrower")
