"""What every answer tells the browser: who may show the page inside another one, and that it need not guess types.

A site that shows the page inside its own, transparent, lets its visitors press what they do not see. At home, where
nobody needs a cookie, their presses are those of the person there, and no other check would notice.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = "Content-Security-Policy"


class SaidToBrowsers:
    """ASGI middleware. framed: whether any site may show the page inside its own (on Spaces the Hub does).
    origins: other sites that may. What an answer says itself of these things stays."""

    def __init__(self, app: ASGIApp, framed: bool, origins: Collection[str] = ()):
        self._app = app
        self._said = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "strict-origin-when-cross-origin",
        }
        if not framed:
            self._said[_POLICY] = " ".join(["frame-ancestors 'self'", *sorted(origins)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._said.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sent if scope["type"] == "http" else send)
