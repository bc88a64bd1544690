"""No other site shows the page inside its own, and no browser guesses what an answer is."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from apt_core.ui.door.headers import SaidToBrowsers

OWN = {"Content-Security-Policy": "frame-ancestors 'none'", "Referrer-Policy": "no-referrer"}


@pytest.fixture
def asked():
    def ask(path="/", **settings):
        routes = [
            Route("/", lambda _: PlainTextResponse("page")),
            Route("/admin", lambda _: PlainTextResponse("admin", headers=OWN)),
        ]
        door = [Middleware(SaidToBrowsers, **settings)]
        return TestClient(Starlette(routes=routes, middleware=door)).get(path).headers

    return ask


def test_only_our_own_pages_may_show_the_page(asked):
    assert asked(framed=False)["content-security-policy"] == "frame-ancestors 'self'"


def test_sites_that_may_ask_may_show_it_too(asked):
    said = asked(framed=False, origins={"https://b.example", "https://a.example"})["content-security-policy"]
    assert said == "frame-ancestors 'self' https://a.example https://b.example"


def test_a_space_is_shown_by_the_hub(asked):
    assert "content-security-policy" not in asked(framed=True)


def test_types_are_not_guessed_and_addresses_stay_here(asked):
    headers = asked(framed=False)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "strict-origin-when-cross-origin"


def test_what_an_answer_says_itself_stays(asked):
    headers = asked("/admin", framed=False)
    assert headers["content-security-policy"] == OWN["Content-Security-Policy"]
    assert headers["referrer-policy"] == "no-referrer"
