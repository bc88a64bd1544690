"""A point of the layer chart opens the layer, in light and dark, wide and narrow."""

from __future__ import annotations

import pytest
from browser_app import patient
from browser_steps import (
    choose,
    choose_tiny,
    open_view,
    points,
    prune,
    says,
    scrolls_sideways,
    text,
    wait_for_end,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def two_finished(app, browser):
    """Two finished runs of the tiny model."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(app.address)
    page.wait_for_selector("#prune")
    choose_tiny(page)
    runs = []
    for _ in range(2):
        runs.append(prune(page))
        wait_for_end(page)
    context.close()
    return runs


@pytest.fixture(scope="module")
def finished(two_finished):
    return two_finished[0]


def click_a_point(page) -> None:
    """The last one: up there no line of another projection lies on it."""
    page.wait_for_function("document.querySelector('#layers-chart .chart-host')?._fullData?.length")
    page.evaluate(
        "() => { const host = document.querySelector('#layers-chart .chart-host'); const data = host._fullData[3];"
        " host.emit('plotly_click', { points: [{ data, customdata: data.customdata[1] }] }); }"
    )


@pytest.mark.slow
def test_a_click_on_a_point_opens_the_layer_and_the_text_can_be_read_again(open_page, finished):
    page = open_page(f"?run={finished}&view=layers")
    with patient("the chart", 20) as until:
        until(lambda: points(page) == 14)
    click_a_point(page)
    says(page, "#inside-summary", "Block 1, self_attn.o_proj", 60)
    says(page, "#inside-summary", "Heads that lost most")
    page.wait_for_function(
        "document.querySelectorAll('#inside-charts .chart[data-shown=yes] .main-svg').length >= 3"
    )
    assert "weights removed" in text(page, "#inside-mask-chart .chart-summary")
    assert page.locator("#inside-layer input").input_value() == "Block 1, self_attn.o_proj"
    assert page.locator("#inside-saliency-chart .chart[data-shown=yes]").count() == 0
    page.locator("#inside-inputs input").check()
    choose(page, "#inside-layer", "Block 0, mlp.down_proj")
    page.locator("#inside-look").click()
    says(page, "#inside-equation", "The closed form on row", 90)
    says(page, "#inside-equation", "Predicted loss")
    says(page, "#inside-summary", "Block 0, mlp.down_proj")
    page.locator("#inside-saliency-chart .chart[data-shown=yes] .main-svg").first.wait_for()
    assert page.locator("#inside-look").is_enabled() and not scrolls_sideways(page)


@pytest.mark.slow
def test_narrow_and_dark_and_a_sample_without_weights(open_page, finished):
    page = open_page(f"?run={finished}&view=layers&__theme=dark", width=390, height=844)
    page.locator("#inside-look").click()
    says(page, "#inside-summary", "Block 0, self_attn.q_proj", 60)
    page.locator("#inside-mask-chart .chart[data-shown=yes] .main-svg").first.wait_for()
    assert not scrolls_sideways(page)
    sample = open_page("?view=layers")
    says(sample, "#inside-state", "recorded sample without weights")
    assert sample.locator("#inside-look").is_disabled()


@pytest.mark.slow
def test_the_whole_model_is_looked_at_on_demand_and_what_was_found_stays(open_page, finished):
    page = open_page(f"?run={finished}&view=layers")
    says(page, "#inside-ask-depth", "Follow the depth · about")
    for name, words in (("depth", "Relative error"), ("alone", "one block pruned")):
        page.locator(f"#inside-ask-{name}").click()
        page.locator(f"#inside-{name}-chart .chart[data-shown=yes] .main-svg").first.wait_for(timeout=120_000)
        says(page, f"#inside-{name}-chart .chart-summary", words)
        says(page, f"#inside-ask-{name}", "shown below")
    narrow = open_page(f"?run={finished}&view=layers&__theme=dark", width=390, height=844)
    narrow.locator("#inside-alone-chart .chart[data-shown=yes] .main-svg").first.wait_for()
    narrow.locator("#inside-depth-table summary", has_text="numbers as a table").click()
    assert narrow.locator("#inside-depth-table tbody tr").count() == 2
    assert not scrolls_sideways(narrow)


@pytest.mark.slow
def test_what_is_still_read_about_one_run_does_not_land_on_the_page_of_another(open_page, two_finished):
    first, second = two_finished
    page = open_page(f"?run={first}&view=layers")
    page.locator("#inside-inputs input").check()
    choose(page, "#inside-layer", "Block 0, mlp.up_proj")
    page.locator("#inside-look").click()
    says(page, "#inside-state", "Opening the weights")
    page.locator("#tabs [role=tab]", has_text="Runs").click()
    page.locator(f"tr[data-run='{second}'] [data-action=open]").first.click()
    page.wait_for_url(f"**run={second}**")
    open_view(page, "layers")
    says(page, "#inside-layer", "Layer")
    assert text(page, "#inside-state") == "" == text(page, "#inside-summary")
    page.locator("#inside-inputs input").uncheck()
    page.locator("#inside-look").click()
    says(page, "#inside-summary", "Block 0, self_attn.q_proj", 60)  # nobody else is in the way
    assert "The closed form" not in text(page, "#inside-equation")
    assert page.locator("#inside-look").is_enabled()
