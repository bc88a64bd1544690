"""What each layer gets before the run: shown, one cell held, the others moved, and pruned by."""

from __future__ import annotations

import httpx
import pytest
from browser_steps import choose_tiny, cut_off, prune, says, scrolls_sideways, wait_for_end
from test_accessible import found

GRID = "#allocation-grid table.shares"


def ask(page, allocation="By depth (ATP)", sparsity=50):
    """Choose the tiny model and an allocation, and press the button."""
    choose_tiny(page)
    page.locator("#kind label", has_text="Unstructured").click()
    page.locator("#sparsity input[type=number]").fill(str(sparsity))
    page.get_by_label("Allocation", exact=True).click()
    page.get_by_role("option", name=allocation, exact=True).click()
    says(page, "#show-shares-says", "about")
    page.wait_for_timeout(500)  # the last check of a burst
    page.locator("#show-shares").click()
    page.locator(GRID).wait_for(timeout=60_000)


def cell(page, layer):
    return page.locator(f'{GRID} input[data-layer="{layer}"]')


def shares(page):
    inputs = page.locator(f"{GRID} input").all()
    return {one.get_attribute("data-layer"): float(one.input_value()) for one in inputs}


def given(app, run):
    return httpx.get(f"{app.address}/studio/runs/{run}/results.json").json()


@pytest.mark.slow
def test_it_is_shown_changed_and_pruned_by(open_page, app):
    page = open_page()
    ask(page)
    before = shares(page)
    assert len(before) == 14 and set(before.values()) == {40, 60}
    says(page, "#allocation .chart-title", "By depth (ATP) at 50%: layers lose 40% to 60%")
    cell(page, "1:mlp.down_proj").fill("30")
    cell(page, "1:mlp.down_proj").press("Tab")
    page.locator(f'{GRID} td[data-held="yes"]').wait_for()
    after = shares(page)
    assert after["1:mlp.down_proj"] == 30 and all(
        after[layer] > before[layer] for layer in before if layer != "1:mlp.down_proj"
    )
    says(page, "#allocation-state", "Together 50% of")
    says(page, "#allocation .chart-title", "By hand at 50%")
    assert page.get_by_label("Held layers").input_value() == "1:mlp.down_proj=0.3"
    cell(page, "0:self_attn.q_proj").fill("20")
    cell(page, "0:self_attn.q_proj").press("Enter")
    page.wait_for_function(f"document.querySelectorAll('{GRID} td[data-held=yes]').length === 2")
    last = shares(page)
    assert last["1:mlp.down_proj"] == 30 and last["0:self_attn.q_proj"] == 20
    assert found(page) == []
    page.wait_for_function("!document.querySelector('#prune').disabled")
    page.wait_for_timeout(600)
    run = prune(page)
    wait_for_end(page)
    assert not page.locator("#allocation").is_visible()
    told = given(app, run)
    assert {layer: 100 * share for layer, share in told["allocated"].items()} == pytest.approx(last, abs=0.06)
    assert told["sparsity"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.slow
def test_by_keys_alone_a_bad_number_is_said_and_a_cell_let_go(open_page):
    page = open_page(color_scheme="dark")
    ask(page, "AlphaPruning", 70)
    before = shares(page)
    cell(page, "0:mlp.up_proj").focus()
    page.keyboard.press("Alt+ArrowDown")
    assert page.evaluate("document.activeElement.dataset.layer") == "1:mlp.up_proj"
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("120")
    page.keyboard.press("Enter")
    says(page, "#allocation-state", "0 to 99 percent of its weights, not 120")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("45")
    page.keyboard.press("Enter")
    page.locator(f'{GRID} td[data-held="yes"]').wait_for()
    assert page.evaluate("document.activeElement.dataset.layer") == "1:mlp.up_proj", "one stays where one was"
    assert found(page) == []
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    page.wait_for_function(f"!document.querySelector('{GRID} td[data-held=yes]')")
    assert shares(page) == pytest.approx(before, abs=0.11)
    page.locator("#allocation-close").click()
    page.locator("#allocation").wait_for(state="hidden")


@pytest.mark.slow
def test_on_a_phone_it_comes_into_view_and_fits(open_page):
    page = open_page(width=390, height=800)
    page.locator("#folded button").click() if page.locator("#folded button").is_visible() else None
    ask(page)
    page.wait_for_timeout(1000)
    top = page.locator("#allocation").bounding_box()["y"]
    assert -50 < top < 400, "scrolled to"
    assert not scrolls_sideways(page) and not cut_off(page)
    cell(page, "1:mlp.down_proj").fill("30")
    across = page.locator("#allocation-grid .scroll").evaluate("box => box.scrollLeft")
    cell(page, "1:mlp.down_proj").press("Enter")
    page.locator(f'{GRID} td[data-held="yes"]').wait_for()
    assert page.locator("#allocation-grid .scroll").evaluate("box => box.scrollLeft") == across > 0
