"""Whom the page answers: requests to its own names, and changes asked for by its own pages.

A name that is not ours means that somebody's domain points here (DNS rebinding): a page of that domain would read and
delete the runs of this machine. A change that another site's page asks for is refused whatever it asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from apt_core.base.policy import HostPolicy
from apt_core.base.values import Frozen

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HARMLESS = {"GET", "HEAD", "OPTIONS"}
_OWN_PAGES = {"same-origin", "none"}  # what a browser says of a request by our page, or by its user


class Names(Frozen):
    """hosts: what the Host header may name, without port; None where anything may be (a public host that does not
    know its name). origins: pages of other sites that may ask for changes."""

    hosts: frozenset[str] | None
    origins: frozenset[str] = frozenset()

    @classmethod
    def of(cls, policy: HostPolicy, environment: Mapping[str, str]) -> Names:
        """APT_HOSTS and APT_ORIGINS, separated by commas; on Spaces SPACE_HOST names the host."""
        stated = _listed(environment.get("APT_HOSTS")) | _listed(environment.get("SPACE_HOST"))
        bound = environment.get("GRADIO_SERVER_NAME", "")
        known = stated | _LOOPBACK | ({bound} if bound else frozenset())
        return cls(
            hosts=None if policy.public and not stated else known,
            origins=_listed(environment.get("APT_ORIGINS")),
        )


class OwnSite:
    """ASGI middleware: 421 for a name that is not ours, 403 for a change that another site asks for."""

    def __init__(self, app: ASGIApp, names: Names):
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            if (
                self._names.hosts is not None
                and _without_port(headers.get("host", "")) not in self._names.hosts
            ):
                await _refuse(421, "This server does not answer to that name; set APT_HOSTS to let it.")(
                    scope, receive, send
                )
                return
            if scope.get("method") not in _HARMLESS and not self._is_ours(headers):
                await _refuse(403, "Another site's page asked for this, so nothing was done.")(
                    scope, receive, send
                )
                return
        await self._app(scope, receive, send)

    def _is_ours(self, headers: Headers) -> bool:
        """Programs send neither header; a browser says where the request comes from."""
        origin = headers.get("origin")
        if origin is not None and origin in self._names.origins:
            return True
        if (site := headers.get("sec-fetch-site")) is not None:
            return site in _OWN_PAGES
        return origin is None or urlsplit(origin).netloc == headers.get("host")


def _refuse(status: int, sentence: str) -> PlainTextResponse:
    return PlainTextResponse(sentence, status, headers={"Connection": "close"})


def _listed(text: str | None) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in (text or "").split(",") if name.strip())


def _without_port(host: str) -> str:
    """localhost:7860 -> localhost, [::1]:7860 -> [::1]."""
    host = host.lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
