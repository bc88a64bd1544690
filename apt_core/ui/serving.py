"""The page on the network: our own server around Gradio's application, with the door in front of it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from apt_core.base.policy import is_loopback
from apt_core.ui import server
from apt_core.ui.admin import routes as admin
from apt_core.ui.admin.guard import Access, Guard
from apt_core.ui.door import health
from apt_core.ui.door.bodies import BoundedBodies
from apt_core.ui.door.connections import server_config
from apt_core.ui.door.crowd import counter_of
from apt_core.ui.door.headers import SaidToBrowsers
from apt_core.ui.door.health import Answers, Metrics
from apt_core.ui.door.keys import SigningKeys
from apt_core.ui.door.limits import DoorLimits
from apt_core.ui.door.origins import Names, OwnSite
from apt_core.ui.door.own_paths import OwnPaths
from apt_core.ui.door.quiet_log import quieten
from apt_core.ui.door.request_ids import RequestIds
from apt_core.ui.door.same_page import SamePage
from apt_core.ui.door.under_way import UnderWay
from apt_core.ui.door.visitors import AtTheDoor, Cookies
from apt_core.ui.gpu_calls import Call
from apt_core.ui.page import build, launch_options
from apt_core.ui.sessions import keep_light
from apt_core.ui.studio import Studio

_BACKLOG = 256  # connections that wait to be accepted
_PATIENCE = 60.0  # seconds until the server has to answer
_LOUD = ("asyncio", "uvicorn.error")


def application(
    studio: Studio,
    page: gr.Blocks,
    names: Names,
    limits: DoorLimits,
    access: Access | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:
    """Page and downloads as one ASGI application. Other sites may read nothing of it (CORS without origins).

    access: who may open the page of the host's owner; on a public host nobody when None.
    metrics: who may read the figures; the same.
    """
    answers: Counter[int] = Counter()
    keys = SigningKeys(studio.store.root)
    door = [
        Middleware(Answers, counts=answers),
        Middleware(SaidToBrowsers, framed=studio.policy.framed, origins=names.origins),
        Middleware(OwnSite, names=names),
        Middleware(OwnPaths),
        *_visitors(studio, page, keys, limits),
        Middleware(BoundedBodies, limits=limits),
        Middleware(CORSMiddleware, allow_origins=sorted(names.origins), allow_methods=["GET", "POST"]),
        Middleware(SamePage),
    ]
    guard = Guard(access or Access(home=not studio.policy.public), keys)
    ours = [
        *server.routes(studio),
        *health.routes(studio.store.live, answers, metrics or Metrics(open=not studio.policy.public)),
        *admin.routes(studio, guard),
    ]
    around = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, middleware=door, routes=ours)
    application = gr.mount_gradio_app(around, page, path="/", **launch_options(studio))
    keep_light(application, page)
    return application


def _visitors(studio: Studio, page: gr.Blocks, keys: SigningKeys, limits: DoorLimits) -> list[Middleware]:
    """At home everybody is the person there, and nobody is handed a cookie."""
    if not studio.policy.public:
        return []
    cookies = Cookies(keys, studio.policy.framed)
    return [
        Middleware(UnderWay, most=limits.requests_each, documents=limits.documents_each),
        Middleware(AtTheDoor, cookies=cookies, usage=studio.usage, waiting=counter_of(page)),
    ]


@contextlib.contextmanager
def served(
    studio: Studio,
    host: str,
    port: int,
    names: Names | None = None,
    limits: DoorLimits | None = None,
    access: Access | None = None,
    metrics: Metrics | None = None,
    call: Call | None = None,
) -> Iterator[str]:
    """The page, served by a thread while the context lasts; gives its address. port 0 takes a free one.

    names: those of this machine when None. call: what works on runs where the page itself has to. Raises OSError where
    the port is not to be had.
    """
    limits, names = limits or DoorLimits(), names or Names.of(studio.policy, {})
    listening = _listen(host, port)
    page = build(studio, call)
    ours = application(studio, page, names, limits, access, metrics)
    serving = uvicorn.Server(server_config(RequestIds(ours), _as_reached(limits, host)))
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, name="page", daemon=True)
    quieten(*_LOUD)
    thread.start()
    try:
        _wait_until_started(serving, thread)
        yield _address(host, listening.getsockname()[1])
    finally:
        serving.should_exit = True
        thread.join(timeout=10)
        page.close(verbose=False)
        listening.close()


def _as_reached(limits: DoorLimits, host: str) -> DoorLimits:
    """Connections are counted by address where visitors reach this server themselves."""
    behind_a_proxy = is_loopback(host) or "FORWARDED_ALLOW_IPS" in os.environ
    return limits.model_copy(update={"connections_each": None}) if behind_a_proxy else limits


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.strip("[]"), port))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _wait_until_started(serving: uvicorn.Server, thread: threading.Thread) -> None:
    end = time.monotonic() + _PATIENCE
    while not serving.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise OSError("the server did not start; its reason stands above")
        time.sleep(0.02)


def _address(host: str, port: int) -> str:
    shown: Any = "localhost" if host in ("0.0.0.0", "::", "[::]") else host
    return f"http://{shown}:{port}/"
