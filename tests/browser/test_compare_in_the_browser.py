"""Comparing runs in Chromium, on stored records that were made without pruning."""

from __future__ import annotations

import pytest
from browser_steps import says, scrolls_sideways, text

from apt_core.base.paths import data_dir
from apt_core.runs.store import Store
from tests.studies.compared_runs import put, worse

pytestmark = pytest.mark.browser


@pytest.fixture
def stored(app, monkeypatch):
    """The ids of two finished runs of the app."""
    monkeypatch.setenv("APT_CACHE", str(app.cache))
    store = Store(data_dir())
    return put(store, *worse(0.1)), put(store, *worse(0.3), method="wanda", layer_factor=2.0)


def test_ticked_runs_are_compared_and_the_address_opens_it_again(open_page, stored):
    one, two = stored
    page = open_page()
    page.locator("#tabs button[role=tab]", has_text="Runs").click()
    button = page.locator("#compare-bar [data-action=compare]")
    page.locator(f'[data-pick="{one}"]').check()
    says(page, "#compare-bar", "One run is ticked; tick another to compare.")
    assert button.is_disabled()
    page.locator(f'[data-pick="{two}"]').check()
    button.click()
    says(page, "#compare-head", "2 runs compared")
    page.wait_for_selector("#compare-curves-chart .scatterlayer path")
    page.wait_for_function(
        "ids => location.search === `?compare=${ids}`",
        arg=f"{one},{two}",
    )
    assert "Wanda · 2:4 has 1.22 times the perplexity of APT · 2:4" in text(page, "#compare-paired")
    page.go_back()
    page.wait_for_function("() => location.search === '?tab=runs'")
    assert page.locator("#runs").is_visible()
    page.go_forward()
    page.wait_for_function("ids => location.search === `?compare=${ids}`", arg=f"{one},{two}")
    assert page.locator("#compare-head").is_visible()
    again = open_page(page.url.rsplit("/", 1)[-1], width=390, color_scheme="dark")
    again.wait_for_selector("#compare-difference-chart .heatmaplayer image")
    assert text(again, "#compare-fields").count("wanda") == 2 and not scrolls_sideways(again)
    again.locator("#compare-head a").last.click()
    says(again, "#headline", "Wanda")
    again.wait_for_function(
        "id => location.search.includes(`run=${id}`) && !location.search.includes('compare')", arg=two
    )


@pytest.mark.slow
def test_an_address_of_runs_that_are_none_is_a_sentence(open_page, stored):
    page = open_page(f"?compare={stored[0]},nonsense")
    says(page, "#compare-note", "There is no run 'nonsense'")


def test_another_run_is_put_first(open_page, stored):
    one, two = stored
    page = open_page(f"?compare={one},{two}")
    page.locator("#compare-paired .against a", has_text="Wanda").click()
    page.wait_for_function("ids => location.search === `?compare=${ids}`", arg=f"{two},{one}")
    says(page, "#compare-paired", "APT · 2:4 has 0.819 times the perplexity of Wanda · 2:4")
    assert text(page, "#compare-outcomes").index("Wanda") < text(page, "#compare-outcomes").index("APT")
