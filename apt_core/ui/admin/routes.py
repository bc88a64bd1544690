"""/admin: open to those whom the guard admits; absent where nobody could be admitted."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import partial

from gradio import oauth
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from apt_core.base.errors import BadInput, PruneError
from apt_core.runs.hosting import Decisions
from apt_core.runs.owners import Visitor
from apt_core.runs.store import Held
from apt_core.ui.acting import acting_for
from apt_core.ui.admin.guard import COOKIE, SECONDS, Guard
from apt_core.ui.admin.view import Seen, Use, admin_page, login_page
from apt_core.ui.door.visitors import network_of
from apt_core.ui.studio import Studio

ADMIN = Visitor(names=("admin",), everything=True)
_ENDED = 50  # runs that are shown
_NOTHING = Held(0, 0)
_OURS_ALONE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'self'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def routes(studio: Studio, guard: Guard) -> list[BaseRoute]:
    """Nothing where nobody may open it."""
    if not guard.access.possible:
        return []
    return [
        Route("/admin", lambda request: RedirectResponse("admin/"), methods=["GET"]),
        Mount(
            "/admin",
            routes=[
                Route("/", partial(_show, studio, guard), methods=["GET"]),
                Route("/login", partial(_login, guard), methods=["POST"]),
                Route("/do", partial(_do, studio, guard), methods=["POST"]),
            ],
            middleware=[_session()] if guard.access.accounts else [],
        ),
    ]


def _session() -> Middleware:
    """Reads the session that Gradio's sign-in wrote, as Gradio does (gradio/oauth.py)."""
    secret = hashlib.sha256(f"{oauth.OAUTH_CLIENT_SECRET or ''}-v4".encode()).hexdigest()
    return Middleware(SessionMiddleware, secret_key=secret, same_site="none", https_only=True)


def _is_in(guard: Guard, request: Request) -> bool:
    return guard.lets_in(request.scope, request.cookies.get(COOKIE))


def _show(studio: Studio, guard: Guard, request: Request) -> Response:
    if _is_in(guard, request):
        return _page(admin_page(seen(studio)))
    return _page(login_page(), 401)


async def _login(guard: Guard, request: Request) -> Response:
    if not guard.may_try(network_of(request.scope.get("client"))):
        return _page(login_page("Too many tries; wait a minute."), 429)
    async with request.form(max_files=0, max_fields=4) as form:
        cookie = guard.cookie_for(str(form.get("token", ""))[:1000])
    if not cookie:
        return _page(login_page("That is not the token of this host."), 401)
    answer = RedirectResponse("./", 303)
    place, secure = request.scope["root_path"], request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, cookie, max_age=SECONDS, path=place, secure=secure, httponly=True, samesite="strict"
    )
    return answer


async def _do(studio: Studio, guard: Guard, request: Request) -> Response:
    if not _is_in(guard, request):
        return _page(login_page(), 401)
    async with request.form(max_files=0, max_fields=8) as form:
        try:
            said, status = await run_in_threadpool(act, studio, form), 200
        except (PruneError, OSError) as error:
            said, status = str(error), 400
    return _page(admin_page(await run_in_threadpool(seen, studio), said), status)


def act(studio: Studio, form: FormData) -> str:
    """Do what was pressed; returns a sentence about it. Raises PruneError, OSError."""
    action, run, visitor = (str(form.get(name, ""))[:200] for name in ("action", "run", "visitor"))
    hosting = studio.hosting
    if hosting is None:
        raise BadInput("This page keeps no decisions.")
    with acting_for(ADMIN):
        match action:
            case "drain" | "accept":
                hosting.drain(action == "drain")
                return "No run is accepted or begun now." if action == "drain" else "Runs are accepted again."
            case "ban" | "unban" if visitor:
                hosting.ban(visitor, action == "ban")
                return "They can start and ask nothing more." if action == "ban" else "They are served again."
            case "ban-address" if visitor:
                return _ban_address(studio, visitor)
            case "unban-address" if address := str(form.get("address", ""))[:100]:
                hosting.ban_address(address, False)
                return f"Whoever comes from {address} is served again."
            case "stop":
                studio.cancel(run)
                return f"Run {run} is asked to stop."
            case "delete":
                studio.delete([run])
                return f"Run {run} is deleted."
            case "delete-all" if visitor:
                return _delete_all(studio, visitor)
    raise BadInput("That is nothing that can be done here.")


def _ban_address(studio: Studio, visitor: str) -> str:
    """Nobody is served from where this visitor came from last."""
    address = studio.usage.address_of(visitor)
    if not address:
        raise BadInput(
            "Where they came from is not known: they have started and asked nothing since the app began."
        )
    assert studio.hosting is not None
    studio.hosting.ban_address(address)
    return f"Nobody who comes from {address} can start or ask anything now."


def _delete_all(studio: Studio, visitor: str) -> str:
    """The ended runs of one visitor, for good within a minute."""
    ended = [run.id for run in studio.store.list(limit=-1, owners=[visitor]) if not run.live]
    if ended:
        studio.delete(ended)
    return f"{len(ended)} runs are deleted."


def seen(studio: Studio) -> Seen:
    """The host as it is now."""
    line = studio.store.live()
    ended = [run for run in studio.store.list(limit=_ENDED + len(line)) if not run.live]
    waiting = Counter(run.owner for run in line if run.status == "queued")
    decided = studio.hosting.now() if studio.hosting else Decisions()
    banned = decided.banned
    use = studio.store.use()
    visitors = [
        Use(
            owner,
            use.get(owner, _NOTHING).runs,
            waiting[owner],
            use.get(owner, _NOTHING).n_bytes,
            studio.usage.runs_of(owner),
            studio.usage.tokens_of(owner),
            owner in banned,
            studio.usage.address_of(owner),
        )
        for owner in sorted(use.keys() | banned)
    ]
    with acting_for(ADMIN):
        return Seen(decided.draining, line, ended[:_ENDED], visitors, studio.title, sorted(decided.addresses))


def _page(body: str, status: int = 200) -> Response:
    return HTMLResponse(str(body), status, headers=_OURS_ALONE)
