"""A number for each request, in its answer and in every line of the log that is written while it is answered."""

from __future__ import annotations

import logging
import re
import secrets
from contextvars import ContextVar

from gradio.context import LocalContext
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-ID"
_KEY = "apt_request"  # in the state of a request
_PLAIN = re.compile(r"[A-Za-z0-9-]{8,64}")
_current: ContextVar[str] = ContextVar("request", default="")
_log = logging.getLogger(__name__)


class RequestIds:
    """ASGI middleware, outside of all others. A number that a proxy gives is taken over; a failure is said once more
    with what was asked for."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = _given(scope) or secrets.token_hex(8)
        scope.setdefault("state", {})[_KEY] = request
        _current.set(
            request
        )  # for as long as the server's task for this request lasts, which logs its failure itself

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request
                if message["status"] >= 500:
                    _log.warning("%s %s is answered %d", scope["method"], scope["path"], message["status"])
            await send(message)

        await self._app(scope, receive, numbered)


def request_now() -> str:
    """The number of the request that is being answered, empty where none is.

    Gradio answers an event in a task of its own, begun within somebody's first request, but keeps the request that
    asked for the event beside the handler: that one goes first.
    """
    asked = getattr(LocalContext.request.get(None), "request", None)  # Starlette's, inside of Gradio's
    return _current.get() if asked is None else str(asked.scope.get("state", {}).get(_KEY, ""))


def _given(scope: Scope) -> str:
    """By a proxy, or whoever asks; empty for what is no plain number."""
    stated = Headers(scope=scope).get(HEADER, "")
    return stated if _PLAIN.fullmatch(stated) else ""
