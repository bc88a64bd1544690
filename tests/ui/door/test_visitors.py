"""Who is at the door: cookies that are new, known, forged, old, of a key that has gone; and floods."""

from __future__ import annotations

import time

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from apt_core.base.policy import PRIVATE, STRICT
from apt_core.runs.owners import HERE, STRANGER, Visitor
from apt_core.runs.quotas import Quotas
from apt_core.runs.usage import Usage
from apt_core.ui.acting import acting_for, visitor_for, visitor_now, visitor_of
from apt_core.ui.door.keys import SigningKeys
from apt_core.ui.door.visitors import COOKIE, MOST_EVENTS, AtTheDoor, Cookies, network_of

DAY = 86_400
ANN = Visitor(names=("v:ann",), address="192.0.2.1")


@pytest.fixture
def keys(tmp_path):
    return SigningKeys(tmp_path)


@pytest.fixture
def open_door(keys):
    """open_door(...) -> a client of an application that says who is asking."""

    def make(framed=False, quotas=Quotas(), waiting=lambda visitor: 0, base="http://testserver"):  # noqa: B008
        def who(request):
            visitor = visitor_of(request.scope)
            return JSONResponse({"names": visitor.names, "address": visitor.address})

        door = Middleware(AtTheDoor, cookies=Cookies(keys, framed), usage=Usage(quotas), waiting=waiting)
        routes = [Route("/{path:path}", who, methods=["GET", "POST"])]
        return TestClient(Starlette(routes=routes, middleware=[door]), base_url=base)

    return make


def names(answer):
    return answer.json()["names"]


def test_the_page_hands_out_a_cookie_and_knows_it_again(open_door):
    client = open_door()
    first = client.get("/")
    assert len(names(first)) == 1 and names(first)[0].startswith("v:")
    assert names(client.get("/")) == names(client.post("/gradio_api/queue/join")) == names(first)
    assert "set-cookie" not in client.get("/").headers, "a known one is left alone"
    assert names(open_door().get("/")) != names(first)


def test_programs_get_one_with_the_configuration(open_door):
    client = open_door()
    assert names(client.get("/config")) == names(client.post("/gradio_api/call/prune"))


def test_nothing_else_hands_one_out(open_door):
    client = open_door()
    for answer in (client.get("/studio/studio.js"), client.post("/"), client.get("/gradio_api/queue/data")):
        assert "set-cookie" not in answer.headers and names(answer) == []


@pytest.mark.parametrize(
    ("framed", "base", "has", "has_not"),
    [
        (False, "http://testserver", "HttpOnly; SameSite=Lax", "Secure"),
        (False, "https://testserver", "HttpOnly; SameSite=Lax; Secure", "Partitioned"),
        (True, "http://testserver", "HttpOnly; Secure; SameSite=None; Partitioned", "Lax"),
    ],
)
def test_the_cookie_is_as_its_frame_needs(open_door, framed, base, has, has_not):
    answer = open_door(framed, base=base).get("/")
    cookie = answer.headers["set-cookie"]
    assert has in cookie and has_not not in cookie and "Path=/" in cookie and "Domain" not in cookie
    assert answer.headers["cache-control"] == "no-store"


def forged(keys, tmp_path):
    right = keys.serializer("visitor").dumps("ann")
    name, at, signature = right.split(".")
    elsewhere = SigningKeys(tmp_path / "other")
    return {
        "empty": "",
        "no signature": "ann",
        "another name": ".".join([keys.serializer("visitor").dumps("bob").split(".")[0], at, signature]),
        "another time": ".".join([name, at[::-1], signature]),
        "another host's": elsewhere.serializer("visitor").dumps("ann"),
        "another purpose": keys.serializer("admin").dumps("ann"),
        "not a name": keys.serializer("visitor").dumps(["ann"]),
        "nothing": keys.serializer("visitor").dumps(""),
        "long": right + "a" * 5000,
        "no text": "\u2603".encode().decode("latin-1"),
    }


FORGERIES = (
    "empty",
    "no signature",
    "another name",
    "another time",
    "another host's",
    "another purpose",
    "not a name",
    "nothing",
    "long",
    "no text",
)


@pytest.mark.parametrize("how", FORGERIES)
def test_a_forged_cookie_names_nobody(open_door, keys, tmp_path, how):
    value = forged(keys, tmp_path)[how]
    client = open_door()
    headers = {"cookie": f"{COOKIE}={value}".encode("latin-1")}
    assert names(client.post("/gradio_api/queue/join", headers=headers)) == []
    assert Cookies(keys).read(value) is None


def test_a_cookie_in_use_is_signed_anew_and_one_left_alone_ends(keys, monkeypatch):
    cookies = Cookies(keys)
    value = cookies.header("ann", False).partition("=")[2].partition(";")[0]
    assert cookies.read(value) == ("ann", False)
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 2 * DAY)
    assert cookies.read(value) == ("ann", True)
    monkeypatch.setattr("time.time", lambda: now + 61 * DAY)
    assert cookies.read(value) is None


def test_a_visitor_survives_one_rotation_of_the_keys(tmp_path):
    clock = [time.time()]
    keys = SigningKeys(tmp_path, days=30, clock=lambda: clock[0])
    cookies = Cookies(keys)
    value = cookies.header("ann", False).partition("=")[2].partition(";")[0]
    clock[0] += 31 * DAY
    assert cookies.read(value) is not None, "the key before still reads"
    keys.serializer("visitor")
    clock[0] += 31 * DAY
    assert cookies.read(value) is None


def test_so_many_new_visitors_come_from_one_address_and_then_they_may_look(open_door):
    client = open_door(quotas=Quotas(visitors_per_hour=3))
    found = []
    for _ in range(5):
        client.cookies.clear()
        found.append(len(names(client.get("/"))))
    assert found == [1, 1, 1, 0, 0]


def test_files_from_one_address_are_counted_before_they_are_read(open_door):
    client = open_door(quotas=Quotas(uploads_per_hour=2))
    answers = [client.post("/gradio_api/upload", content=b"x") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert "2 files were sent from your address within this hour" in answers[-1].json()["detail"]


def test_one_visitors_flood_is_their_own(open_door):
    crowd = {}
    client = open_door(waiting=lambda visitor: crowd.get(visitor.name, 0))
    ann = names(client.get("/"))[0]
    crowd[ann] = MOST_EVENTS
    refused = client.post("/gradio_api/queue/join")
    assert refused.status_code == 429 and "wait already" in refused.json()["detail"]
    assert client.post("/gradio_api/call/prune").status_code == 429
    assert client.get("/").status_code == client.post("/gradio_api/cancel").status_code == 200
    client.cookies.clear()
    client.get("/")
    assert client.post("/gradio_api/queue/join").status_code == 200, "somebody else"


@pytest.mark.parametrize(
    ("client", "network"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("testclient", 1), "testclient"),
        (None, ""),
    ],
)
def test_limits_go_by_the_network(client, network):
    assert network_of(client) == network


# ---- in whose name


def test_outside_of_a_request_nobody_is_known():
    from_door = {"state": {"apt_visitor": ANN}}
    assert visitor_now() == visitor_of({}) == STRANGER and visitor_of(from_door) == ANN
    assert visitor_for(STRICT) == STRANGER and visitor_for(PRIVATE) == HERE
    with acting_for(ANN):
        assert visitor_now() == visitor_for(STRICT) == ANN and visitor_for(PRIVATE) == HERE
    assert visitor_now() == STRANGER


@pytest.mark.parametrize(
    ("session", "names"),
    [
        ({}, ("v:ann",)),
        ({"oauth_info": {"userinfo": {"preferred_username": "ann"}}}, ("hf:ann", "v:ann")),
        ({"oauth_info": {"userinfo": {"preferred_username": "ann"}, "expires_at": 1.0}}, ("v:ann",)),
        ({"oauth_info": {"userinfo": {}}}, ("v:ann",)),
    ],
)
def test_who_signed_in_is_known_by_the_account(session, names):
    assert visitor_of({"state": {"apt_visitor": ANN}, "session": session}).names == names
