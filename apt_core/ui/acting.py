"""The visitor on whose behalf a request is answered, as the door has identified them.

The door writes the visitor into the request (`door/visitors.py`). Gradio answers an event in a task of its own, but
keeps the request beside the handler; our own addresses and tests say it with `acting_for`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from gradio.context import LocalContext
from gradio.oauth import _get_valid_oauth_info_from_session as signed_in

from apt_core.base.policy import HostPolicy
from apt_core.runs.owners import HERE, STRANGER, Visitor

KEY = "apt_visitor"  # in the state of a request
_acting: ContextVar[Visitor | None] = ContextVar("acting", default=None)


@contextmanager
def acting_for(visitor: Visitor) -> Iterator[None]:
    """Everything inside is done in the name of this visitor."""
    before = _acting.set(visitor)
    try:
        yield
    finally:
        _acting.reset(before)


def visitor_now() -> Visitor:
    """The visitor whose request is being answered; a stranger outside of requests."""
    if (visitor := _acting.get()) is not None:
        return visitor
    request = LocalContext.request.get(None)
    asked = getattr(request, "request", None)  # Starlette's, inside of Gradio's
    return visitor_of(asked.scope) if asked is not None else STRANGER


def tab_now() -> str:
    """The page load that asks; empty outside of an event of the page."""
    return getattr(LocalContext.request.get(None), "session_hash", None) or ""


def visitor_for(policy: HostPolicy) -> Visitor:
    """In whose name a request is answered on this host: at home always the person there."""
    return visitor_now() if policy.public else HERE


def visitor_of(scope: Mapping[str, Any]) -> Visitor:
    """As the door wrote it into the request; whoever signed in is known by that name first."""
    visitor = scope.get("state", {}).get(KEY, STRANGER)
    if name := account_in(scope):
        return visitor.model_copy(update={"names": (f"hf:{name}", *visitor.names)})
    return visitor


def account_in(scope: Mapping[str, Any]) -> str:
    """The Hugging Face account that signed in, empty for none. The session is Gradio's own signed cookie."""
    if "session" not in scope or not (info := signed_in(scope["session"])):
        return ""
    return str(info.get("userinfo", {}).get("preferred_username") or "")
