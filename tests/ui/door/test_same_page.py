"""The document is made once for every name of the host, and nothing else is kept."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import HTMLResponse
from starlette.routing import Route

from apt_core.ui.door import same_page
from apt_core.ui.door.same_page import SamePage
from tests.ui.coroutines import to_its_end


class Made:
    """An application whose answers say how many it has made."""

    def __init__(self):
        self.count = 0
        self.status, self.cookie, self.filling = 200, "", ""

    async def page(self, request):
        self.count += 1
        answer = HTMLResponse(
            f"{request.headers['host']} {self.count}{self.filling}", status_code=self.status
        )
        if self.cookie:
            answer.set_cookie("who", self.cookie)
        return answer


async def greeted(request, call_next):
    """What stands further outside: a cookie for every visitor."""
    answer = await call_next(request)
    answer.headers.append("set-cookie", f"visitor={request.headers.get('x-number', '')}")
    return answer


@pytest.fixture
def made():
    return Made()


@pytest.fixture
def ask(made):
    door = [Middleware(BaseHTTPMiddleware, dispatch=greeted), Middleware(SamePage)]
    routes = [Route("/", made.page, methods=["GET", "POST", "HEAD"]), Route("/other", made.page)]
    app = Starlette(routes=routes, middleware=door)

    def asked(path="/", host="here", method="GET", **headers):
        async def once():
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return await client.request(method, path, headers=named)

        return to_its_end(once())

    return asked


def test_the_document_is_made_once_and_every_visitor_keeps_their_own_cookie(ask, made):
    answers = [ask(x_number=str(number)) for number in range(3)]
    assert [answer.text for answer in answers] == ["here 1"] * 3 and made.count == 1
    assert [answer.headers.get_list("set-cookie") for answer in answers] == [
        ["visitor=0"], ["visitor=1"], ["visitor=2"]
    ]  # fmt: skip


def test_every_name_of_the_host_has_its_own(ask):
    assert ask(host="here").text == "here 1" and ask(host="there").text == "there 2"
    assert ask(host="here").text == "here 1"
    assert ask(x_forwarded_proto="https").text == "here 3"


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/other", "GET"),
        ("/", "POST"),
        ("/", "HEAD"),
        ("/?deep_link=abc", "GET"),
        ("/?page=other", "GET"),
        ("/?all_endpoints=", "GET"),
    ],
)
def test_nothing_else_is_kept(ask, made, path, method):
    for _ in range(2):
        ask(path, method=method)
    assert made.count == 2


def test_what_only_the_browser_reads_of_the_address_makes_no_difference(ask, made):
    ask()
    assert (
        ask("/?run=20261127-010203-abcd&view=layers&tab=runs&__theme=dark").text == "here 1"
        and made.count == 1
    )


def test_a_header_said_twice_does_not_bring_its_document_to_others():
    def key(*hosts):
        headers = [(b"x-forwarded-host", host) for host in hosts]
        return same_page._key_of({
            "type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers
        })  # fmt: skip

    assert key(b"evil", b"here") != key(b"here") != key(b"here", b"evil")


def test_what_failed_or_sets_a_cookie_is_made_again(ask, made):
    made.status = 500
    assert ask().status_code == 500
    made.status, made.cookie = 200, "somebody"
    assert "who=somebody" in ask().headers["set-cookie"]
    made.cookie = ""
    assert "who" not in ask().headers["set-cookie"] and made.count == 3


def test_strangers_who_name_many_addresses_fill_no_memory(ask, monkeypatch):
    monkeypatch.setattr(same_page, "_MOST_KEPT", 2)
    for number in range(5):
        ask(x_forwarded_host=f"host{number}")
    assert ask(x_forwarded_host="host4").text == "here 5" and ask(x_forwarded_host="host0").text == "here 6"
    assert [ask(x_forwarded_host="x" * 400).text for _ in range(2)] == ["here 7", "here 8"]


def test_a_long_document_is_sent_compressed_to_whoever_takes_that(ask, made):
    made.filling = "the same words again and again " * 1000
    packed, plain = ask(accept_encoding="gzip, br"), ask(accept_encoding="identity")
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < len(plain.content) / 20
    assert packed.text == f"here 1{made.filling}"
    assert ask(accept_encoding="gzip, br").text == packed.text and made.count == 2
