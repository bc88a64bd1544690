"""The document of the page, made and compressed once: it is the same for everybody who asks by the same name.

Gradio writes its configuration, a megabyte of JSON, anew for every visitor: a tenth of a second in which nothing else
is answered.
"""

from __future__ import annotations

from collections import OrderedDict
from urllib.parse import parse_qs

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Gradio writes into the document by which address it was asked for.
_ADDRESS = (b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-gradio-server", b"accept-encoding")
_MOST_KEPT = 16  # of a megabyte each: a stranger can name any address in a header
_LONGEST = 300  # characters of these headers together
# What our own links add to the address is read by the browser alone; Gradio answers other words of it (`page`,
# `deep_link`, `all_endpoints`) with documents of their own, which must not reach anybody else.
_OUR_WORDS = frozenset({"run", "view", "tab", "compare", "study", "present", "__theme"})

_Key = tuple[str, str, tuple[tuple[bytes, bytes], ...]]


class SamePage:
    """ASGI middleware around Gradio's application. Only a whole answer that sets no cookie is kept."""

    def __init__(self, app: ASGIApp):
        self._app = app
        self._document = GZipMiddleware(app)
        self._kept: OrderedDict[_Key, list[Message]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (key := _key_of(scope)) is None:
            await self._app(scope, receive, send)
        elif key in self._kept:
            for message in self._kept[key]:
                await send(_copy(message))
        else:
            await self._made(key, scope, receive, send)

    async def _made(self, key: _Key, scope: Scope, receive: Receive, send: Send) -> None:
        said: list[Message] = []

        async def noted(message: Message) -> None:
            said.append(message)
            await send(_copy(message))

        await self._document(scope, receive, noted)
        if _is_whole(said):
            self._kept[key] = said
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)


def _key_of(scope: Scope) -> _Key | None:
    """By what the documents differ; None for whatever is not the document, or is one of its own."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
        return None
    words = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    # Every one of a header that is said twice: which of them Gradio reads is its own affair.
    named = tuple((name, value) for name, value in scope["headers"] if name in _ADDRESS)
    if not words.keys() <= _OUR_WORDS or sum(len(value) for _, value in named) > _LONGEST:
        return None
    return scope.get("scheme", "http"), scope.get("root_path", ""), named


def _copy(message: Message) -> Message:
    """What stands further outside writes headers of its own into what it passes on."""
    return {**message, "headers": list(message["headers"])} if "headers" in message else message


def _is_whole(said: list[Message]) -> bool:
    if not said or said[0]["type"] != "http.response.start" or said[-1].get("more_body"):
        return False
    return said[0]["status"] == 200 and b"set-cookie" not in {name.lower() for name, _ in said[0]["headers"]}
