"""Of Gradio's own addresses those that the page uses are there, and no other: also of versions to come."""

from __future__ import annotations

import gradio as gr
import httpx
import pytest
from fastapi import FastAPI
from gradio.routes import App
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from ui_helpers import FakeLauncher, FakeReader, FakeStore

from apt_core.base.policy import STRICT
from apt_core.ui.door.own_paths import PAGES, PROGRAMS, OwnPaths
from apt_core.ui.serving import served
from apt_core.ui.studio import Studio


@pytest.fixture
def client():
    everywhere = Route("/{path:path}", lambda _: PlainTextResponse("here"), methods=["GET", "POST", "HEAD"])
    return TestClient(Starlette(routes=[everywhere], middleware=[Middleware(OwnPaths)]))


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/config/",
        "/assets/index-Ab12.js",
        "/static/fonts/x.woff2",
        "/studio/runs/20261127-010203-abcd/live",
        "/admin/do",
        "/health",
        "/login/huggingface",
        "/gradio_api/queue/join",
        "/gradio_api/call/v2/prune",
        "/gradio_api/mcp/",
        "/gradio_api/info",
        "/gradio_api/upload",
        "/gradio_api/file=/home/me/.cache/apt-studio/gradio/ab/notes.txt",
        "/gradio_api/file=C:\\Users\\me\\notes.txt",
    ],
)
def test_what_the_page_uses_is_there(client, path):
    assert client.get(path).text == "here"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://example.com/",
        "/gradio_api/file=https:/example.com/",
        "/gradio_api/file=%20HTTP://example.com/",
        "/gradio_api/file=file:///etc/passwd",
        "/gradio_api/file/http://example.com/",
        "/gradio_api/proxy=https://someone.hf.space/",
        "/gradio_api/process_recording",
        "/gradio_api/component_server",
        "/gradio_api/custom_component/a/client/b/c",
        "/gradio_api/deep_link",
        "/gradio_api/run/predict",
        "/gradio_api/stream/x",
        "/gradio_api/vibe-edit",
        "/gradio_api/queues",
        "/gradio_api",
        "/pwa_icon/30000",
        "/monitoring/summary",
        "/deep_link",
        "/svelte/x.js",
        "/docs",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_nothing_else_is(client, path, method):
    assert client.request(method, path).status_code == 404


def test_every_address_that_is_let_through_is_one_of_gradio_or_ours():
    """A word that no version of Gradio answers any more would only hide a mistake."""
    with gr.Blocks() as page:
        pass
    around = gr.mount_gradio_app(FastAPI(), page, path="/")
    application = next(
        one.app for one in around.routes if isinstance(one, Mount) and isinstance(one.app, App)
    )
    paths = list(application.openapi()["paths"])
    pages = {path.split("/")[1] for path in paths}
    programs = {path.split("/")[2] for path in paths if path.startswith("/gradio_api/")}
    ours = {"admin", "health", "metrics", "studio"}
    where_on = {"login", "logout", "mcp"}
    assert pages >= PAGES - ours - where_on and programs >= PROGRAMS - where_on


def test_the_served_page_fetches_nothing_for_strangers():
    store = FakeStore()
    studio = Studio(store, FakeLauncher(store), FakeReader(), {}, STRICT)
    with served(studio, "127.0.0.1", 0) as address, httpx.Client(base_url=address, timeout=30) as stranger:
        for path in (
            "gradio_api/file=http://example.com/",
            "pwa_icon/64",
            "gradio_api/deep_link?session_hash=x",
        ):
            assert stranger.get(path).text == "There is nothing here.", path
        assert stranger.post("gradio_api/process_recording").text == "There is nothing here."
        assert stranger.get("config").status_code == stranger.get("favicon.ico").status_code == 200
