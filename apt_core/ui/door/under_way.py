"""How many requests of one address are answered at the same time: nobody takes the page away from all others.

Most are answered in a hundredth of a second. A report takes half a second of a core, so that thirty at once let
everybody else wait for seconds: of those an address has few.
"""

from __future__ import annotations

import re
from collections import Counter

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from apt_core.ui.door.visitors import network_of

_DOCUMENTS = re.compile(r"/studio/compare/|/studio/\w+/[^/]+/(report\.\w+|.+\.csv)$")


class UnderWay:
    """ASGI middleware: 429 for an address whose requests, or documents, are as many as may be. A stream counts until it
    ends."""

    def __init__(self, app: ASGIApp, most: int, documents: int):
        self._app, self._most, self._documents = app, most, documents
        self._now: Counter[tuple[str, str]] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        address = network_of(scope.get("client"))
        kinds = {"requests": self._most}
        if _DOCUMENTS.match(scope["path"]):
            kinds["documents"] = self._documents
        for kind, most in kinds.items():
            if self._now[address, kind] >= most:
                sentence = f"{most} {kind} for your address are under way; try again when one has come."
                await PlainTextResponse(sentence, 429, headers={"Connection": "close"})(scope, receive, send)
                return
        self._now.update((address, kind) for kind in kinds)
        try:
            await self._app(scope, receive, send)
        finally:
            self._now.subtract((address, kind) for kind in kinds)
            self._now += Counter()  # without those that have none: whoever never comes back holds no memory
