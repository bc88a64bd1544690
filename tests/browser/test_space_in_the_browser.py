"""The app as it runs on a Space: every visitor has an account of their own, or none."""

from __future__ import annotations

import base64
import hashlib
import json
import time

import httpx
import itsdangerous
import pytest
from browser_app import App
from browser_steps import open_view, says, text, unfold, wait_for_end
from test_hub_in_the_browser import read_the_bundled_sample

from apt_core.models.catalogue.entries import CATALOGUE
from tests.models.fake_hub import FakeHub

pytestmark = pytest.mark.browser
GATED = "meta/Tiny-Gated-Llama"
CLIENT_SECRET = "client-secret"
TOKEN = "hf_oauth_of_ann"


@pytest.fixture(scope="module")
def hub():
    with FakeHub() as running:
        running.add(GATED, CATALOGUE["tiny-llama"].folder)
        running.gated.add(GATED)
        running.accounts |= {TOKEN: "ann", "hf_owner": "owner"}
        yield running


@pytest.fixture(scope="module")
def space(hub, tmp_path_factory):
    """What a Space sets, and a token of its owner that no visitor may use."""
    cache = tmp_path_factory.mktemp("space")
    app = App(
        cache,
        HF_ENDPOINT=hub.url,
        HF_HUB_DISABLE_XET="1",
        HF_HOME=str(cache / "hf"),
        HF_TOKEN="hf_owner",
        SYSTEM="spaces",
        SPACE_ID="owner/studio",
        OAUTH_CLIENT_ID="client",
        OAUTH_CLIENT_SECRET=CLIENT_SECRET,
        OAUTH_SCOPES="openid profile gated-repos",
        OPENID_PROVIDER_URL=hub.url,
    ).start()
    yield app
    app.stop()


def session_of_ann(scope: str = "gated-repos") -> str:
    """The signed cookie that Gradio's login leaves in the browser."""
    user = {
        "name": "Ann",
        "preferred_username": "ann",
        "profile": "https://huggingface.co/ann",
        "picture": "",
    }
    info = {
        "access_token": TOKEN,
        "scope": scope,
        "expires_at": int(time.time()) + 3600,
        "userinfo": user,
    }
    signer = itsdangerous.TimestampSigner(hashlib.sha256(f"{CLIENT_SECRET}-v4".encode()).hexdigest())
    return signer.sign(base64.b64encode(json.dumps({"oauth_info": info}).encode())).decode()


@pytest.fixture
def visit(space, browser):
    contexts = []

    def visited(signed_in: bool = False):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(20_000)
        contexts.append(context)
        if signed_in:
            context.add_cookies([{"name": "session", "value": session_of_ann(), "url": space.address}])
        page = context.new_page()
        page.goto(space.address)
        page.wait_for_selector("#hub-search summary")
        page.wait_for_timeout(500)
        return page

    yield visited
    for context in contexts:
        context.close()


def choose_gated(page) -> None:
    page.locator("#model input").fill(GATED)
    page.locator("#model input").press("Enter")


@pytest.mark.slow
def test_a_visitors_own_account_opens_what_it_may_read_and_nobody_elses(hub, space, visit):
    stranger = visit()
    choose_gated(stranger)
    says(stranger, "#preflight", "sign in with Hugging Face here")
    assert stranger.locator("#preflight a").get_attribute("href") == f"{hub.url}/{GATED}"
    unfold(stranger, "#advanced")
    assert "Sign in" in text(stranger, "#login") and not stranger.locator("#hub-token").count()
    assert not stranger.locator("#tabs button[role=tab]", has_text="Models").count()

    ann = visit(signed_in=True)
    unfold(ann, "#advanced")
    says(ann, "#login", "Logout (ann)")
    choose_gated(ann)
    says(ann, "#facts", "parameters in")
    read_the_bundled_sample(ann)
    ann.wait_for_function("!document.querySelector('#prune').disabled")
    ann.wait_for_timeout(500)
    ann.locator("#prune").click()
    ann.wait_for_function("location.search.includes('run=')")
    wait_for_end(ann)
    assert GATED in text(ann, "#headline")

    run_id = ann.evaluate("new URL(location.href).searchParams.get('run')")
    files = httpx.get(f"{space.address}/studio/runs/{run_id}/model.zip")
    assert files.status_code == 404, "weights of a gated model are not given to everybody"
    assert httpx.get(f"{space.address}/studio/runs/{run_id}/results.json").status_code == 200
    open_view(ann, "answers")
    says(ann, "#both", "neither asked nor given out here")

    choose_gated(stranger)
    says(stranger, "#preflight", "sign in with Hugging Face here")
    assert "Bearer hf_owner" not in hub.tokens, "the owner's token is not for visitors"
    assert space.files_with(GATED) and not space.files_with(TOKEN)
