"""Only our own names are answered, and only our own pages change anything."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from apt_core.base.policy import PRIVATE, STRICT
from apt_core.ui.door.origins import Names, OwnSite


def client(policy=PRIVATE, **environment):
    routes = [Route("/", lambda _: PlainTextResponse("done"), methods=["GET", "POST"])]
    door = [Middleware(OwnSite, names=Names.of(policy, environment))]
    return TestClient(Starlette(routes=routes, middleware=door), base_url="http://localhost:7860")


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:7860", "127.0.0.1:1", "[::1]:7860", "LOCALHOST:7860"]
)
def test_this_machine_is_answered(host):
    assert client().get("/", headers={"host": host}).text == "done"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:7860", "127.0.0.1.nip.io", "", "[::2]"]
)
def test_a_name_that_points_here_is_not(host):
    answer = client().get("/", headers={"host": host})
    assert answer.status_code == 421 and "APT_HOSTS" in answer.text


def test_names_can_be_added():
    named = client(APT_HOSTS="studio.example, other.example")
    assert named.get("/", headers={"host": "studio.example"}).status_code == 200
    assert client(GRADIO_SERVER_NAME="10.1.2.3").get("/", headers={"host": "10.1.2.3:80"}).status_code == 200


def test_a_public_host_knows_its_name_or_takes_any():
    assert client(STRICT).get("/", headers={"host": "any.example"}).status_code == 200
    space = client(STRICT, SPACE_HOST="me-apt.hf.space")
    assert space.get("/", headers={"host": "me-apt.hf.space"}).status_code == 200
    assert space.get("/", headers={"host": "any.example"}).status_code == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # a program
        ({"origin": "http://localhost:7860"}, 200),
        ({"origin": "http://localhost:7861"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://behind.a.proxy"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://localhost:7860"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "https://friend.example"}, 200),
    ],
)
def test_changes_are_asked_for_by_our_own_pages(headers, status):
    answer = client(APT_ORIGINS="https://friend.example").post("/", headers=headers)
    assert answer.status_code == status


def test_reading_is_left_to_the_browsers_own_rule():
    assert client().get("/", headers={"origin": "http://evil.example"}).status_code == 200
