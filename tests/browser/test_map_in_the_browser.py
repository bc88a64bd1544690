"""The map of methods: "Try it" leads to where a thing is asked for, with the choice put in."""

from __future__ import annotations

import pytest
from browser_steps import choose_tiny, prune, says, wait_for_end

pytestmark = [pytest.mark.browser]


def try_it(page, group, name):
    """Press the button of a line of the map."""
    page.get_by_role("tab", name="Methods", exact=True).click()
    fold = page.locator(f"#group-{group}")
    if fold.get_attribute("open") is None:
        fold.locator("summary").first.click()
    fold.get_by_role("button", name=f"Try {name}", exact=True).click()
    page.locator("#explore").wait_for()


def checked(page, box):
    return page.locator(f"{box} input:checked").get_attribute("value")


def test_methods_allocations_and_refinements_are_put_into_the_form(open_page):
    page = open_page()
    try_it(page, "structures", "LLM-Pruner")
    page.wait_for_function("document.querySelector('#method input[value=llm-pruner]').checked")
    try_it(page, "components", "OWL")
    page.wait_for_function("document.querySelector('#choose').dataset.allocation === 'owl'")
    page.wait_for_function("document.querySelector('#method input[value=wanda]').checked")
    assert checked(page, "#kind") == "unstructured"
    page.locator("#advanced .options-allocation-owl").wait_for()
    page.wait_for_function("!document.querySelector('#prune').disabled")
    try_it(page, "components", "DSnoT")
    page.wait_for_function("document.querySelector('#choose').dataset.refinement === 'dsnot'")
    page.wait_for_function("document.querySelector('#choose').dataset.allocation === 'uniform'")


def test_search_opens_and_training_says_what_it_needs(open_page):
    page = open_page()
    try_it(page, "structures", "Search")
    page.locator("#search-start").wait_for()
    try_it(page, "recovery", "SPP")
    says(page, "#note", "Training is offered below a run that has finished")
    try_it(page, "recovery", "The law of training")
    says(page, "#note", "The law needs the curve of a recovery")


@pytest.mark.slow
def test_training_opens_below_a_finished_run_with_its_method_chosen(open_page):
    page = open_page()
    choose_tiny(page)
    prune(page)
    wait_for_end(page)
    try_it(page, "recovery", "Distillation")
    page.locator("#recover-start").wait_for()
    page.wait_for_function("document.querySelector('#recover-method input[value=distill]').checked")
    assert page.locator("#note").inner_text().strip() == ""
