"""Request bodies are read whole, within bounds of length and time, before anything looks at them."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apt_core.base.words import size
from apt_core.ui.door.limits import DoorLimits

UPLOADS = "/gradio_api/upload"
_CLOSE = {"Connection": "close"}  # what is still to come of the body is not read


class _TooLong(Exception):
    """The body has more bytes than it may."""


class _GoneAway(Exception):
    """The client left before its body was whole."""


class BoundedBodies:
    """ASGI middleware: 413 for a body that is too long, 408 for one that does not arrive, 503 for one upload too many.

    An application behind it sees the body in one piece. A declared length is refused before a byte is read.
    """

    def __init__(self, app: ASGIApp, limits: DoorLimits):
        self._app = app
        self._limits = limits
        self._uploads = asyncio.Semaphore(limits.uploads_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = scope["path"].rstrip("/").endswith(UPLOADS) and scope["method"] == "POST"
        most = self._limits.upload_bytes if upload else self._limits.body_bytes
        refused: tuple[int, str] | None = None
        try:
            _check_declared(Headers(scope=scope), most)
            async with self._turn(upload), asyncio.timeout(self._seconds(upload)):
                body = await _whole(receive, most)
        except _GoneAway:
            return
        except _TooLong:
            refused = 413, f"A request may have {size(most)}; this one is longer."
        except _NoTurn:
            refused = 503, "Too many files are being sent just now; try again in a minute."
        except TimeoutError:
            refused = 408, "The request did not arrive in time; send it again."
        if refused:
            await PlainTextResponse(refused[1], refused[0], headers=_CLOSE)(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)

    def _seconds(self, upload: bool) -> float:
        return self._limits.upload_seconds if upload else self._limits.body_seconds

    @contextlib.asynccontextmanager
    async def _turn(self, upload: bool):
        """Long bodies wait in memory, so only a few arrive at once."""
        if not upload:
            yield
            return
        if self._uploads.locked():
            raise _NoTurn
        async with self._uploads:
            yield


class _NoTurn(Exception):
    """As many uploads as may be are under way."""


def _check_declared(headers: Headers, most: int) -> None:
    declared = headers.get("content-length", "0")
    if not declared.isdecimal() or len(declared) > 18 or int(declared) > most:
        raise _TooLong


async def _whole(receive: Receive, most: int) -> bytes:
    """The body, as soon as all of it is here."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneAway
        body += message.get("body", b"")
        if len(body) > most:
            raise _TooLong
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once, then whatever the server says (that the client went away)."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
