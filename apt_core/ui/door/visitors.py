"""Who is at the door of a public host: each request gets its visitor, and a new browser a signed cookie.

The cookie holds a random number and says nothing about anybody. Programs get one too, with the page's configuration,
and are the same visitor as long as they send it back. Without it one may look, not start anything.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from itsdangerous import BadData
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apt_core.runs.owners import Visitor
from apt_core.runs.usage import Usage
from apt_core.ui.acting import KEY
from apt_core.ui.door.bodies import UPLOADS
from apt_core.ui.door.keys import SigningKeys

COOKIE = "apt_visitor"
MOST_EVENTS = 16  # of one visitor that wait in the page's queue
_SALT = "visitor"
_RENEWED_AFTER = 86_400.0  # seconds: a cookie in use is signed anew once a day
_HANDS_OUT = ("/", "/config")  # the page, and what programs ask for first
_EVENTS = ("/queue/join", "/call/")
_NETWORK = 64  # bits of an IPv6 address that one household holds


class Known(NamedTuple):
    """Whom a cookie names. old: whether it is time to sign it anew."""

    id: str
    old: bool


class Cookies:
    """Reads and writes the cookie. framed: whether the page is shown inside a page of another site (on Spaces)."""

    def __init__(self, keys: SigningKeys, framed: bool = False):
        self._keys, self._framed = keys, framed
        self._seconds = int(2 * keys.seconds)  # no key is older

    def read(self, value: str | None) -> Known | None:
        """None for no cookie, a forged one, and one that is too old or signed with a key that has gone."""
        if not value or len(value) > 200:
            return None
        try:
            found, signed = self._keys.serializer(_SALT).loads(
                value, max_age=self._seconds, return_timestamp=True
            )
        except BadData:
            return None
        if not isinstance(found, str) or not found:
            return None
        return Known(found, time.time() - signed.timestamp() > _RENEWED_AFTER)

    def header(self, visitor_id: str, https: bool) -> str:
        """The value of Set-Cookie."""
        value = self._keys.serializer(_SALT).dumps(visitor_id)
        parts = [f"{COOKIE}={value}", "Path=/", f"Max-Age={self._seconds}", "HttpOnly"]
        if self._framed:  # browsers keep it apart for each site around the page
            parts += ["Secure", "SameSite=None", "Partitioned"]
        else:
            parts += ["SameSite=Lax", *(["Secure"] if https else [])]
        return "; ".join(parts)


class AtTheDoor:
    """ASGI middleware: names the visitor of each request, hands out cookies, and answers 429 to floods.

    waiting: how many events of a visitor wait in the page's queue, so that nobody fills it for everybody.
    """

    def __init__(self, app: ASGIApp, cookies: Cookies, usage: Usage, waiting: Callable[[Visitor], int]):
        self._app, self._cookies, self._usage, self._waiting = app, cookies, usage, waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        address = network_of(scope.get("client"))
        known = self._cookies.read(HTTPConnection(scope).cookies.get(COOKIE))
        handed = self._handed_out(scope, known, address)
        identity = handed or (known.id if known else "")
        visitor = Visitor(names=(f"v:{identity}",) if identity else (), address=address)
        scope.setdefault("state", {})[KEY] = visitor
        if refusal := self._refusal(scope, visitor):
            await JSONResponse({"detail": refusal}, 429, headers={"Connection": "close"})(
                scope, receive, send
            )
            return
        await self._app(scope, receive, self._with_cookie(send, handed, scope) if handed else send)

    def _handed_out(self, scope: Scope, known: Known | None, address: str) -> str:
        """The visitor whose cookie goes with the answer, empty for none."""
        if scope.get("method") != "GET" or scope["path"] not in _HANDS_OUT:
            return ""
        if known is not None:
            return known.id if known.old else ""
        return secrets.token_urlsafe(16) if self._usage.takes_visitor(address) else ""

    def _refusal(self, scope: Scope, visitor: Visitor) -> str:
        """Why this request is not looked at, empty where it is."""
        if scope.get("method") != "POST":
            return ""
        path = scope["path"].rstrip("/")
        if path.endswith(UPLOADS) and not self._usage.takes_upload(visitor.address):
            most = self._usage.quotas.uploads_per_hour
            return (
                f"{most} files were sent from your address within this hour, the most here; try again later."
            )
        if any(part in path for part in _EVENTS) and self._waiting(visitor) >= MOST_EVENTS:
            return f"{MOST_EVENTS} of your questions and presses wait already; let some of them be answered first."
        return ""

    def _with_cookie(self, send: Send, visitor_id: str, scope: Scope) -> Send:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = self._cookies.header(visitor_id, scope.get("scheme") == "https")
                headers = MutableHeaders(scope=message)
                headers.append("Set-Cookie", cookie)
                headers["Cache-Control"] = "no-store"  # it is for one visitor alone
            await send(message)

        return sent


def network_of(client: tuple[str, int] | None) -> str:
    """The address that limits go by: of IPv6 its network, empty where it is not known."""
    host = client[0] if client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, _NETWORK), strict=False))
    return str(address)
