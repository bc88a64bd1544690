"""How many requests of one address are answered at the same time: nobody takes the page away from all others."""

from __future__ import annotations

from collections import Counter

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from apt_core.ui.door.visitors import network_of


class UnderWay:
    """ASGI middleware: 429 for an address whose requests are as many as may be. A stream counts until it ends."""

    def __init__(self, app: ASGIApp, most: int):
        self._app, self._most = app, most
        self._now: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        address = network_of(scope.get("client"))
        if self._now[address] >= self._most:
            sentence = (
                f"{self._most} requests from your address are under way; close some tabs, and try again."
            )
            await PlainTextResponse(sentence, 429, headers={"Connection": "close"})(scope, receive, send)
            return
        self._now[address] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._now[address] -= 1
            if not self._now[address]:
                del self._now[address]  # whoever never comes back holds no memory
