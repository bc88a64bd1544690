"""A pruned model is pushed to a Hub on this machine: at home by a typed token, on a Space by signing in."""

from __future__ import annotations

import shutil

import pytest
from browser_app import App
from browser_steps import says, scrolls_sideways, text, unfold
from test_space_in_the_browser import CLIENT_SECRET, TOKEN, session_of_ann

from apt_core.base.policy import LOCAL
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.runs.store import Store
from tests.models.fake_hub import FakeHub
from tests.studies.compared_runs import put, worse

pytestmark = pytest.mark.browser
MINE = "ann/tiny-b-llama-b-apt-2-4"  # of the title that stored test runs have


@pytest.fixture
def hub():
    with FakeHub() as running:
        running.accounts |= {TOKEN: "ann", "hf_owner": "owner"}
        yield running


@pytest.fixture
def started(hub, tmp_path, monkeypatch):
    """started(...) -> (the app, a finished run of this owner whose model is the bundled one)."""
    apps = []

    def start(owner: str = LOCAL, **environment: str):
        monkeypatch.delenv("APT_DATA", raising=False)
        store = Store(tmp_path / "data")
        run = put(store, *worse(0.1), owner=owner)
        shutil.copytree(CATALOGUE["tiny-random-llama"].folder, store.folder(run) / "checkpoint")
        nowhere = {"HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "0"}
        given = {"HF_TOKEN": "", "HF_HUB_DISABLE_XET": "1", **nowhere, **environment}
        apps.append(App(tmp_path, HF_ENDPOINT=hub.url, **given).start())
        return apps[-1], run

    yield start
    for app in apps:
        app.stop()


@pytest.fixture
def visit(browser):
    contexts, errors = [], []

    def visited(app, run, width: int = 1280, session: str = ""):
        context = browser.new_context(viewport={"width": width, "height": 900})
        context.set_default_timeout(60_000)
        contexts.append(context)
        if session:
            context.add_cookies([{"name": "session", "value": session, "url": app.address}])
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{app.address}/?run={run}&view=next")
        page.locator("#push").wait_for()
        page.locator("#push .label-wrap").click()
        return page

    yield visited
    for context in contexts:
        context.close()
    assert not errors, errors


def proposes(page, name: str) -> None:
    page.wait_for_function(
        "name => document.querySelector('#push-name :is(input, textarea)').value === name", arg=name
    )


@pytest.mark.slow
def test_a_model_is_pushed_asked_about_and_pushed_again(hub, started, visit):
    app, run = started()
    page = visit(app, run, width=390)
    says(page, "#push-note", "Nobody is logged in to the Hub")
    page.locator(".chosen").click()
    unfold(page, "#advanced")
    unfold(page, "#account")
    page.locator("#hub-token input").fill(TOKEN)
    page.locator("#use-token").click()
    says(page, "#account-note", "Signed in as ann.")
    page.locator("#push .label-wrap").click()
    page.locator("#push .label-wrap").click()
    proposes(page, MINE)
    hub.commit_seconds = 3.0
    page.locator("#push-start").click()
    says(page, "#push-state", f"Pushing to {MINE}")
    assert not scrolls_sideways(page)
    page.goto("about:blank")  # it goes on when the page is closed
    page = visit(app, run)
    says(page, "#push-state", f"The model is at {hub.url}/{MINE}.", 20)
    assert page.locator("#push-state a").get_attribute("href") == f"{hub.url}/{MINE}"
    assert (
        hub.private == {MINE} and {"model.safetensors", "README.md", "config.json"} <= hub.models[MINE].keys()
    )

    hub.models[MINE]["README.md"] = b"mine"
    proposes(page, MINE)
    page.locator("#push-start").click()
    says(page, "#push-note", f"{MINE} exists already on the Hub")
    page.locator("#push-keep").click()
    page.locator("#push-replace").wait_for(state="hidden")
    assert hub.models[MINE]["README.md"] == b"mine"
    page.locator("#push-start").click()
    page.locator("#push-replace").click()
    says(page, "#push-state", f"Pushing to {MINE}")
    says(page, "#push-state", "The model is at", 20)
    assert hub.models[MINE]["README.md"].startswith(b"---\n")
    assert not app.files_with(TOKEN) and TOKEN not in app.log


@pytest.mark.slow
def test_on_a_space_a_visitor_pushes_their_own_run_with_their_sign_in(hub, started, visit):
    app, run = started(
        owner="hf:ann",
        HF_TOKEN="hf_owner",
        SYSTEM="spaces",
        SPACE_ID="owner/studio",
        OAUTH_CLIENT_ID="client",
        OAUTH_CLIENT_SECRET=CLIENT_SECRET,
        OAUTH_SCOPES="openid profile gated-repos contribute-repos",
        OPENID_PROVIDER_URL=hub.url,
    )
    reads = visit(app, run, session=session_of_ann())
    says(reads, "#push-note", "Your sign-in does not let this page make repositories")
    page = visit(app, run, session=session_of_ann("gated-repos contribute-repos"))
    proposes(page, MINE)
    page.locator("#push-who label", has_text="Public").click()
    page.locator("#push-start").click()
    says(page, "#push-state", f"The model is at {hub.url}/{MINE}.", 20)
    assert MINE in hub.models and hub.private == set()
    assert "Bearer hf_owner" not in hub.tokens, "the owner's token is not for visitors"
    assert "Push to the Hub" in text(page, "#push")
