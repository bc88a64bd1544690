"""Sparsities drawn by hand over the depth: dragged, moved by keys, typed; what is given is what is pruned."""

from __future__ import annotations

import httpx
import pytest
from browser_steps import choose_tiny, prune, wait_for_end

EDITOR = ".options-allocation-by-hand .curve-editor"
TYPED = ".options-allocation-by-hand .curve :is(textarea, input)"


def by_hand(page):
    choose_tiny(page)
    page.locator("#kind label", has_text="Unstructured").click()
    page.locator("#sparsity input[type=number]").fill("50")
    page.get_by_label("Allocation", exact=True).click()
    page.get_by_role("option", name="By hand", exact=True).click()
    page.locator(EDITOR).wait_for()
    page.locator(EDITOR).scroll_into_view_if_needed()


def typed(page):
    return [float(part) for part in page.locator(TYPED).input_value().split(",")]


@pytest.mark.slow
def test_points_are_dragged_moved_by_keys_and_pruned_by(open_page, app):
    page = open_page()
    by_hand(page)
    assert typed(page) == [0.4, 0.5, 0.6] and page.locator(f"{EDITOR} circle").count() == 3
    first = page.locator(f"{EDITOR} circle").first.bounding_box()
    page.mouse.move(first["x"] + first["width"] / 2, first["y"] + first["height"] / 2)
    page.mouse.down()
    page.mouse.move(first["x"] + first["width"] / 2, first["y"] + 45, steps=5)
    page.mouse.up()
    dragged = typed(page)
    assert dragged[0] < 0.3 and dragged[1:] == [0.5, 0.6]
    page.locator(f"{EDITOR} circle").last.focus()
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowUp")
    assert typed(page)[2] == pytest.approx(0.71)
    assert page.evaluate("document.activeElement.dataset.point") == "2"  # it may be pressed again
    page.locator(EDITOR).get_by_role("button", name="More points").click()
    assert len(typed(page)) == 4 and typed(page)[0] == dragged[0]
    page.locator(TYPED).fill("0.2, 0.8")
    page.locator(f"{EDITOR} circle").nth(1).wait_for()
    assert page.locator(f"{EDITOR} circle").count() == 2
    assert "50% of all weights go" in page.locator(f"{EDITOR} [data-said]").inner_text()
    page.wait_for_timeout(600)
    run = prune(page)
    wait_for_end(page)
    said = page.request.get(f"{app.address}/studio/runs/{run}/results.json").json()
    shares = {}
    for layer in said["layers"]:
        shares.setdefault(layer["block"], []).append(layer["sparsity"])
    means = [sum(found) / len(found) for _, found in sorted(shares.items())]
    assert means == sorted(means) and means[0] < 0.3 and means[-1] > 0.7


@pytest.mark.slow
def test_what_is_no_number_says_so_and_an_nm_pattern_too(open_page):
    page = open_page()
    by_hand(page)
    page.locator(TYPED).fill("a lot")
    said = page.locator(f"{EDITOR} [data-said]")
    page.wait_for_function(
        "document.querySelector('.curve-editor [data-said]').innerText.includes('between 0 and 1')"
    )
    assert not page.locator(f"{EDITOR} circle").count()
    page.locator(TYPED).fill("0.3, 0.7")
    page.locator("#kind label", has_text="N:M pattern").click()
    page.wait_for_function("document.querySelector('.curve-editor [data-said]').innerText.includes('N:M')")
    assert page.locator(f"{EDITOR} circle").count() == 2 and "every layer the same" in said.inner_text()


def typed_in(page, option):
    return page.locator(f".options-allocation-by-hand .{option} :is(textarea, input)")


@pytest.mark.slow
def test_it_begins_as_in_the_shown_run_and_a_layer_is_held(open_page, app):
    page = open_page()
    by_hand(page)
    page.locator(".start-offer button").click()
    page.wait_for_function(
        "document.querySelector('.start-offer [data-said]').innerText.includes('another allocation')"
    )
    first = prune(page)
    wait_for_end(page)
    page.locator(".start-offer button").click()
    page.wait_for_function(
        f"document.querySelector('.start-offer [data-said]').innerText.includes('{first}')"
    )
    before = httpx.get(f"{app.address}/studio/runs/{first}/results.json").json()["allocated"]
    start = typed_in(page, "start-of-layers").input_value()
    assert len(start.split(",")) == len(before) == 14 and "0:self_attn.q_proj=" in start
    page.get_by_label("Held layers").fill("1:mlp.up_proj=0.25")
    page.get_by_label("Held layers").press("Tab")
    page.wait_for_function("!document.querySelector('#prune').disabled")
    page.wait_for_timeout(500)
    again = prune(page)
    wait_for_end(page)
    told = httpx.get(f"{app.address}/studio/runs/{again}/results.json").json()
    assert told["options"]["allocation"]["held"] == "1:mlp.up_proj=0.25"
    assert told["allocated"]["1:mlp.up_proj"] == pytest.approx(0.25, abs=0.01)
    assert told["allocated"]["1:mlp.down_proj"] > before["1:mlp.down_proj"]
    assert told["sparsity"] == pytest.approx(0.5, abs=0.01)
