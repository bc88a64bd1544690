"""A model of the Hub, from a few letters to a finished run, against a Hub on this machine."""

from __future__ import annotations

import pytest
from browser_app import App, patient
from browser_steps import (
    open_the_form,
    open_the_search,
    prune,
    says,
    scrolls_sideways,
    text,
    unfold,
    wait_for_end,
)

from apt_core.models.catalogue.entries import CATALOGUE
from tests.models.fake_hub import FakeHub

pytestmark = pytest.mark.browser
REPO = "ann/tiny-llama"
GATED = "meta/Tiny-Gated-Llama"


@pytest.fixture(scope="module")
def hub():
    with FakeHub() as running:
        yield running


@pytest.fixture(autouse=True)
def stocked(hub):
    hub.forget()
    for place in range(1, 15):
        hub.add(f"bob/Tiny-Llama-{place}B-Instruct", CATALOGUE["tiny-llama"].folder)
        hub.downloads_of[f"bob/Tiny-Llama-{place}B-Instruct"] = 10**place
    hub.add(REPO, CATALOGUE["tiny-llama"].folder)
    hub.downloads_of[REPO] = 5_400_000
    hub.add(GATED, CATALOGUE["tiny-llama"].folder)
    hub.gated |= {GATED, "bob/Tiny-Llama-9B-Instruct"}
    hub.licenses |= {GATED: "llama3.2", REPO: "cc-by-sa-4.0"}


@pytest.fixture(scope="module")
def hub_app(hub, tmp_path_factory):
    cache = tmp_path_factory.mktemp("hub-app")
    nowhere = {"HF_HOME": str(cache / "hf"), "NO_PROXY": "127.0.0.1", "HF_TOKEN": ""}
    app = App(cache, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1", **nowhere).start()
    yield app
    app.stop()


@pytest.fixture
def open_hub_page(hub_app, browser):
    contexts, errors = [], []

    def opened(width: int = 1280, height: int = 900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(hub_app.address)
        open_the_form(page)
        open_the_search(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors, errors


def find(page, words: str) -> None:
    page.locator("#hub-query").press_sequentially(words, delay=40)
    page.locator("#hub-found li").first.wait_for()


def read_the_bundled_sample(page) -> None:
    """Little text, so that a run takes seconds."""
    page.locator("#advanced .label-wrap").click()
    for box in ("#text", "#eval-text"):
        page.locator(f"{box} input").click()
        page.locator(box).get_by_role(
            "option", name="Wikipedia summaries, bundled sample", exact=True
        ).click()
    for box in ("#samples", "#length", "#eval-samples", "#eval-length"):
        page.locator(f"{box} input").fill("16")
    page.locator("#eval-length input").press("Tab")


@pytest.mark.slow
def test_a_model_is_found_chosen_fetched_stopped_and_fetched_to_the_end(hub, open_hub_page):
    page = open_hub_page()
    asked = len(hub.asked)
    find(page, "tiny-llama")
    assert sum(path == "GET /api/models" for path in hub.asked[asked:]) == 1, "one question for ten letters"
    lines = page.locator("#hub-found li")
    assert lines.count() == 12 and "gated" in page.locator("#hub-found").inner_text()
    page.locator("#hub-query").fill(REPO)
    page.wait_for_function("document.querySelectorAll('#hub-found li').length === 1")
    page.keyboard.press("ArrowDown")
    assert lines.first.get_attribute("aria-selected") == "true"
    page.keyboard.press("Enter")
    says(page, "#facts", "parameters in")
    assert page.locator("#model input").input_value() == REPO and not lines.first.is_visible()
    assert "cc-by-sa-4.0" in text(page, "#facts") and "from the Hub, once" in text(page, "#facts")
    read_the_bundled_sample(page)
    page.wait_for_function("!document.querySelector('#prune').disabled")
    page.wait_for_timeout(500)

    hub.pause = 0.25
    prune(page)
    says(page, "#status .files", "model.safetensors", 30)
    with patient("bytes to arrive", 20) as until:
        until(lambda: " kB of " in text(page, "#status .files"))
    page.locator("#stop").click()
    says(page, "#status", "The download was stopped after", 8)
    assert "goes on from there" in text(page, "#status")

    hub.pause = 0.0
    page.wait_for_function("!document.querySelector('#prune').disabled")
    prune(page)
    wait_for_end(page)
    assert REPO in text(page, "#headline")
    begun = [part for name, part in hub.ranges if name == "model.safetensors"]
    assert begun and int(begun[-1].removeprefix("bytes=").rstrip("-")) > 60_000, "it went on where it stopped"
    says(page, "#facts", "On this machine already")


@pytest.mark.slow
def test_a_choice_with_the_mouse_and_a_gated_model_explained(hub, open_hub_page):
    page = open_hub_page()
    find(page, "gated")
    page.locator("#hub-found li").first.click()
    says(page, "#preflight", "only for accounts that accepted its terms: accept them at")
    assert page.locator("#prune").is_disabled()
    assert f"{hub.url}/{GATED}" in text(page, "#preflight")


@pytest.mark.slow
def test_a_hub_without_an_answer_is_a_sentence(hub, open_hub_page):
    page = open_hub_page()
    hub.silent = True
    page.locator("#hub-query").fill("llama")
    says(page, "#hub-results", "does not answer, so it cannot be searched", 15)
    hub.silent = False
    page.locator("#hub-query").fill("nothing-like-it")
    says(page, "#hub-results", "No safetensors model that writes text has this in its name.")


@pytest.mark.slow
def test_a_token_is_kept_in_memory_and_opens_a_gated_model(hub, hub_app, open_hub_page):
    hub.accounts["hf_very_secret"] = "ann"
    page = open_hub_page()
    unfold(page, "#advanced")
    unfold(page, "#account")
    says(page, "#account-note", "Nobody is signed in")
    page.locator("#hub-token input").fill("hf_wrong")
    page.locator("#use-token").click()
    says(page, "#account-note", "The Hub does not know this token")
    page.locator("#hub-token input").fill("hf_very_secret")
    page.locator("#use-token").click()
    says(page, "#account-note", "Signed in as ann.")
    assert page.locator("#hub-token input").input_value() == ""
    find(page, "gated")
    page.locator("#hub-found li").first.click()
    says(page, "#facts", "llama3.2")
    read_the_bundled_sample(page)
    page.wait_for_function("!document.querySelector('#prune').disabled")
    page.wait_for_timeout(500)
    prune(page)
    wait_for_end(page)
    assert GATED in text(page, "#headline")
    assert hub_app.files_with(GATED) and not hub_app.files_with("hf_very_secret")
    other = open_hub_page()
    assert "hf_very_secret" not in other.content() + page.content()
    page.locator("#forget-token").click()
    says(page, "#account-note", "Nobody is signed in")


@pytest.mark.slow
def test_the_cache_is_listed_and_a_model_deleted_by_keyboard(hub, hub_app, open_hub_page):
    blob = hub_app.cache / "hub" / "models--eve--old" / "blobs" / "abc.incomplete"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(2_000_000))
    page = open_hub_page()
    page.locator("#tabs button[role=tab]", has_text="Models").click()
    row = page.locator("tr[data-model='eve/old']")
    row.wait_for()
    assert "partly downloaded" in row.inner_text() and "2.00 MB" in row.inner_text()
    row.locator("[data-action=ask-delete]").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.action") == "keep", "the safe answer comes first"
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.dataset.action") == "delete"
    page.keyboard.press("Enter")
    row.wait_for(state="detached")
    says(page, "#models-note", "eve/old is deleted; 2.00 MB are free again.")
    assert not blob.exists()


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_the_list_fits(open_hub_page, width):
    page = open_hub_page(width=width, height=844)
    find(page, "llama")
    assert not scrolls_sideways(page)
