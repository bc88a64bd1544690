"""Health and metrics for machines: does the page work, and how much is going on."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apt_core import __version__
from apt_core.base.errors import BadInput, PruneError
from apt_core.base.policy import HostPolicy
from apt_core.base.values import Frozen
from apt_core.events.records import RunRecord

OFF = "off"
_SHORTEST = 16  # characters of a token

Live = Callable[[], list[RunRecord]]


class Answers:
    """ASGI middleware that counts the answers by status."""

    def __init__(self, app: ASGIApp, counts: Counter[int]):
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counts[message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counted if scope["type"] == "http" else send)


class Metrics(Frozen):
    """Who may read /metrics. open: whoever may open the page (a person's own machine). token: whoever sends it as a
    bearer; nobody while it is empty."""

    open: bool = False
    token: str = ""

    @classmethod
    def of(cls, policy: HostPolicy, environment: Mapping[str, str]) -> Metrics:
        """APT_METRICS: a token, or `off`; where it is not set, open at home and off on a public host.

        Raises BadInput."""
        stated = environment.get("APT_METRICS", "").strip()
        if stated in ("", OFF):
            return cls(open=not policy.public and not stated)
        if len(stated) < _SHORTEST:
            raise BadInput(
                f"APT_METRICS has {len(stated)} characters; take {_SHORTEST} random ones or more, or '{OFF}'."
            )
        return cls(token=stated)

    def lets_in(self, authorization: str) -> bool:
        """By the header of a request. The comparison takes the same time whatever is given."""
        given, right = (
            hashlib.sha256(text.encode()).digest() for text in (authorization, f"Bearer {self.token}")
        )
        return self.open or (bool(self.token) and hmac.compare_digest(given, right))


def routes(live: Live, answers: Counter[int], metrics: Metrics) -> list[Route]:
    """/health for everybody; /metrics for whoever may read it, and not there where nobody may. live: the runs that wait
    or work."""

    def health(_: Request) -> Response:
        try:
            runs = live()
        except (PruneError, OSError) as error:
            return JSONResponse({"status": "unwell", "why": str(error)}, status_code=503)
        return JSONResponse({"status": "ok", "version": __version__, **_counts(runs)})

    def prometheus(request: Request) -> Response:
        if not metrics.lets_in(request.headers.get("authorization", "")):
            return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
        try:
            runs = live()
        except (PruneError, OSError):
            return Response(status_code=503)
        return Response(generate_latest(_registry(runs, answers)), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/health", health),
        *([Route("/metrics", prometheus)] if metrics.open or metrics.token else []),
    ]


def _counts(runs: list[RunRecord]) -> dict[str, int]:
    waiting = sum(run.status == "queued" for run in runs)
    return {"waiting": waiting, "running": len(runs) - waiting}


def _registry(runs: list[RunRecord], answers: Counter[int]) -> CollectorRegistry:
    registry = CollectorRegistry()
    process = psutil.Process(os.getpid())
    numbers: dict[str, tuple[str, Any]] = {
        "apt_runs_waiting": ("Runs in the queue", _counts(runs)["waiting"]),
        "apt_runs_running": ("Runs that are running", _counts(runs)["running"]),
        "apt_page_resident_bytes": ("Memory that the page's process holds", process.memory_info().rss),
        "apt_page_threads": ("Threads of the page's process", process.num_threads()),
    }
    for name, (words, value) in numbers.items():
        Gauge(name, words, registry=registry).set(value)
    answered = Gauge(
        "apt_page_answers_total", "Answers by status since the start", ["status"], registry=registry
    )
    for status, count in answers.items():
        answered.labels(str(status)).set(count)
    return registry
