"""Each answer has a number, and each line of the log that is written for it has the same."""

from __future__ import annotations

import logging

import gradio as gr
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from apt_core.ui.door.request_ids import HEADER, RequestIds, request_now


def seen(_request):
    return PlainTextResponse(request_now())


def broken(_request):
    raise ValueError("a fault of ours")


@pytest.fixture
def page():
    application = RequestIds(Starlette(routes=[Route("/seen", seen), Route("/broken", broken)]))
    return TestClient(application, raise_server_exceptions=False)


def test_an_answer_has_the_number_that_the_handler_sees(page):
    first, second = page.get("/seen"), page.get("/seen")
    assert first.headers[HEADER] == first.text and len(first.text) == 16
    assert second.text != first.text


@pytest.mark.parametrize("stated", ["0123456789abcdef", "a-number-of-a-proxy"])
def test_the_number_of_a_proxy_is_taken_over(page, stated):
    assert page.get("/seen", headers={HEADER: stated}).text == stated


@pytest.mark.parametrize("stated", ["short", "x" * 65, 'a": "forged', "12345678\tx"])
def test_what_is_no_plain_number_is_not(page, stated):
    assert page.get("/seen", headers={HEADER: stated}).text != stated


def test_a_failure_is_said_with_what_was_asked_for(page, caplog):
    with caplog.at_level(logging.WARNING):
        answer = page.get("/broken?secret=1")
    assert answer.status_code == 500 and len(answer.headers[HEADER]) == 16
    assert "GET /broken is answered 500" in caplog.text and "secret" not in caplog.text


def test_an_event_of_the_page_has_the_number_of_the_request_that_asked_for_it():
    """Gradio answers events in tasks of its own, begun within the first request that comes."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Button("Go").click(request_now, None, gr.Textbox(), api_name="go")
    with TestClient(RequestIds(gr.mount_gradio_app(FastAPI(), blocks, path="/"))) as browser:
        for number in ("0123456789abcdef", "fedcba9876543210"):
            event = browser.post("/gradio_api/call/go", json={"data": []}, headers={HEADER: number}).json()
            assert number in browser.get(f"/gradio_api/call/go/{event['event_id']}").text
