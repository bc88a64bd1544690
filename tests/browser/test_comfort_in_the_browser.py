"""Runs are labelled, found, deleted together and had back, by mouse and by keyboard."""

from __future__ import annotations

import functools

import pytest
from browser_app import App
from browser_steps import says, scrolls_sideways

from apt_core.runs.store import Store
from tests.runs.many_runs import many_runs

pytestmark = pytest.mark.browser
AMOUNT = 60


@pytest.fixture
def runs(app):
    """Two more runs of the app that all tests share, the newest of it; gone afterwards."""
    store = Store(app.cache / "data")
    made = many_runs(store.root, 2, layers=2, tail="c0c0")[::-1]
    yield made
    for run_id in {*made} & {record.id for record in store.list()}:
        store.delete(run_id)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """An app of its own, with runs that were made before it started."""
    cache = tmp_path_factory.mktemp("comfort")
    many_runs(cache / "data", AMOUNT, layers=2)
    app = App(cache).start()
    yield app
    app.stop()


@pytest.fixture
def open_many(open_page, many):
    """open_page of the app with many runs."""
    return functools.partial(open_page, address=many.address)


def open_runs(page):
    page.locator("#tabs button[role=tab]", has_text="Runs").click()
    page.locator("#runs tr[data-run]").first.wait_for()
    return page


def rows(page) -> list[str]:
    return page.locator("#runs tr[data-run]").evaluate_all("rows => rows.map(row => row.dataset.run)")


def search(page, words: str) -> None:
    """As somebody types it."""
    field = page.locator("#runs-search input, #runs-search textarea")
    field.press("Control+a")
    field.press("Backspace")
    field.press_sequentially(words)


def wait_for_rows(page, amount: int) -> None:
    page.wait_for_function(
        "amount => document.querySelectorAll('#runs tr[data-run]').length === amount", arg=amount
    )


def test_runs_are_labelled_found_deleted_and_had_back(open_page, runs):
    page = open_runs(open_page())
    first, second = runs
    page.locator(f"tr[data-run='{first}'] [data-action=label]").press("Enter")
    page.locator("dialog[open]").wait_for()
    page.keyboard.type("My <b>best</b>")
    page.keyboard.press("Tab")
    page.keyboard.type("paper")
    page.keyboard.press("Enter")  # saves
    says(page, f"tr[data-run='{first}'] th", "My <b>best</b>")
    assert page.evaluate("document.activeElement.dataset.action") == "label", "the focus is back"
    search(page, "#paper")
    wait_for_rows(page, 1)
    assert rows(page) == [first]
    search(page, "c0c0")
    wait_for_rows(page, 2)
    for run in (first, second):
        page.locator(f"[data-pick='{run}']").check()
    page.locator("#compare-bar [data-action=delete]").click()
    says(page, "#runs-undo", "2 runs are deleted.")
    assert first not in rows(page) and second not in rows(page)
    page.wait_for_function("document.activeElement.dataset.action === 'undo'")
    page.keyboard.press("Enter")
    page.locator(f"tr[data-run='{first}']").wait_for()
    says(page, f"tr[data-run='{first}'] th", "My <b>best</b>")
    assert not page.locator(".undo").is_visible()
    assert page.locator("#compare-bar [data-action=delete]").is_hidden(), "nothing is ticked any more"


@pytest.mark.slow
def test_the_list_turns_its_pages_and_keeps_what_is_ticked(open_many):
    page = open_runs(open_many())
    says(page, "#runs .pager", f"Runs 1 to 50 of {AMOUNT}")
    ticked = rows(page)[0]
    page.locator(f"[data-pick='{ticked}']").check()
    page.locator("#runs [data-action=page]", has_text="Next").click()
    wait_for_rows(page, AMOUNT - 50)
    other = rows(page)[0]
    page.locator(f"[data-pick='{other}']").check()
    says(page, "#compare-bar", "Compare 2 runs")
    page.locator("#runs [data-action=page]", has_text="Previous").click()
    wait_for_rows(page, 50)
    assert page.locator(f"[data-pick='{ticked}']").is_checked()


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 768, 1280, 1440])
def test_nothing_scrolls_sideways(open_many, width):
    page = open_runs(open_many(width=width, height=844))
    assert not scrolls_sideways(page)
    page.locator("#runs [data-action=label]").first.click()
    page.locator("dialog[open]").wait_for()
    assert not scrolls_sideways(page)
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")


_ENDS_ELSEWHERE = """(status) => {
  const at = Date.now() + 60000, real = Date.now;
  const tell = (status) => document.dispatchEvent(new CustomEvent("apt-run", { detail: { run: "r", status } }));
  tell("running");
  Date.now = () => at;
  Object.defineProperty(document, "hidden", { value: true, configurable: true });
  tell(status);
  Date.now = real;
}"""
_COMES_BACK = """() => {
  Object.defineProperty(document, "hidden", { value: false, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.mark.slow
def test_keys_have_a_sheet_and_do_nothing_while_somebody_types(open_many):
    page = open_many()
    page.wait_for_function("document.querySelector('#tabs [role=tab]')")
    page.keyboard.press("?")
    page.locator("#keys-sheet[open]").wait_for()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("4")
    assert "tab=" not in page.url, "a dialog is open"
    page.keyboard.press("Escape")
    page.locator("#keys-sheet").wait_for(state="hidden")
    page.keyboard.press("4")
    page.wait_for_url("**/?tab=runs")
    page.locator("#runs tr[data-run]").first.wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    second = rows(page)[1]
    assert page.locator(f"[data-pick='{second}']").is_checked()
    page.keyboard.press("/")
    page.keyboard.type("?1jx/")
    field = page.locator("#runs-search input, #runs-search textarea")
    assert field.input_value() == "?1jx/" and "tab=runs" in page.url
    assert not page.locator("#keys-sheet").is_visible()


@pytest.mark.slow
def test_single_keys_can_be_switched_off(open_many):
    page = open_many()
    page.locator("[data-keys]").click()
    page.locator("[data-setting=keys]").uncheck()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.keys") == "", "the focus is back"
    page.keyboard.press("4")
    page.wait_for_timeout(300)
    assert "tab=" not in page.url
    page.keyboard.press("?")
    page.locator("#keys-sheet[open]").wait_for()
    assert not page.locator("[data-setting=keys]").is_checked()


@pytest.mark.slow
def test_the_end_of_a_run_is_told_to_who_is_elsewhere(open_many):
    page = open_many()
    page.wait_for_function("document.querySelector('.headline h2')")
    page.evaluate(
        "() => { window.told = []; window.Notification = class {"
        " constructor(title, more) { window.told.push([title, more.body]); }"
        " static permission = 'granted'; static requestPermission = async () => 'granted'; } }"
    )
    page.evaluate(_ENDS_ELSEWHERE, "finished")
    page.wait_for_function("document.title === 'Finished · APT Studio'")
    assert page.evaluate("window.told") == [], "nobody asked for it"
    page.evaluate(_COMES_BACK)
    assert page.title() == "APT Studio"
    page.locator("[data-keys]").click()
    assert not page.locator("[data-setting=sound]").is_checked(), "silent unless somebody wants it"
    page.locator("[data-setting=notify]").check()
    page.keyboard.press("Escape")
    page.evaluate(_ENDS_ELSEWHERE, "failed")
    page.wait_for_function("window.told.length === 1")
    assert page.evaluate("window.told[0][0]") == "Failed · APT Studio" and page.evaluate("window.told[0][1]")


@pytest.mark.slow
def test_the_order_of_the_list_stays_and_can_be_reset(open_many):
    page = open_runs(open_many())
    newest = rows(page)[0]
    page.locator("#runs-order input").click()
    page.get_by_role("option", name="Oldest first", exact=True).click()
    page.wait_for_function(
        "run => document.querySelector('#runs tr[data-run]').dataset.run !== run", arg=newest
    )
    page.reload()
    page.wait_for_selector("#prune", state="attached")
    page.wait_for_function("document.querySelector('#runs-order input')?.value === 'Oldest first'")
    page.locator("#runs-reset").click()
    page.wait_for_function(
        "run => document.querySelector('#runs tr[data-run]')?.dataset.run === run", arg=newest
    )
