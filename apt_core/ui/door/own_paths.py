"""Of the addresses that Gradio brings along only those that the page uses are there.

Among the others is one that fetches any address of the internet for whoever asks, one that draws an icon as large as
they like, one that hands a sent video to ffmpeg and one that prints into the log; no setting switches them off.
"""

from __future__ import annotations

import re

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PAGES = frozenset(
    {
        "",
        "admin",
        "assets",
        "config",
        "favicon.ico",
        "gradio_api",
        "health",
        "login",
        "logout",
        "manifest.json",
        "metrics",
        "robots.txt",
        "static",
        "studio",
        "theme.css",
    }
)
PROGRAMS = frozenset(  # under /gradio_api
    {
        "app_id",
        "call",
        "cancel",
        "heartbeat",
        "info",
        "mcp",
        "openapi.json",
        "queue",
        "reset",
        "startup-events",
        "theme.css",
        "upload",
        "upload_progress",
    }
)
_FILE = "file="
_SCHEME = re.compile(r"\s*[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # a drive of Windows has one letter


class OwnPaths:
    """ASGI middleware: 404 for what the page has no use for."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not _is_used(scope["path"]):
            await PlainTextResponse("There is nothing here.", 404)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_used(path: str) -> bool:
    page, _, rest = path.removeprefix("/").partition("/")
    if page != "gradio_api":
        return page in PAGES
    if rest.startswith(_FILE):
        return _SCHEME.match(rest, len(_FILE)) is None
    return rest.partition("/")[0] in PROGRAMS
