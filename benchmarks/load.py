"""The page under load: many visitors polling, some starting runs, one heavy run; how long they wait.

    python -m benchmarks.load --visitors 100 --seconds 60
    python -m benchmarks.load --visitors 20 --seconds 10 --json

The real app in a process of its own on this machine's loopback, with a cache and a store of its own, as a public host
(its quotas count as answers, not as errors). Every visitor opens the page, runs its first event and then asks every
second what is new, as the page's script does; one in five starts a run by the page's own button. Seconds by
percentiles; exits 1 when the page takes longer than 1 s, an event longer than 2 s or a poll longer than 0.3 s at the
95th percentile, or anything but a quota's sentence goes wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]

TARGETS = {"page": 1.0, "event": 2.0, "poll": 0.3}  # seconds at the 95th percentile
_STARTERS = 0.2  # of the visitors
_PATIENCE = 120.0


class Page:
    """What a visitor's browser knows of the page: its components and the events that they trigger."""

    def __init__(self, config: dict[str, Any]):
        self._components = {each["id"]: each for each in config["components"]}
        self._events = config["dependencies"]

    def event(self, trigger: str, elem_id: str | None = None) -> tuple[int, list[Any]]:
        """(number, first inputs) of the event that `trigger` of the component called `elem_id` (the page: None) has."""
        for number, event in enumerate(self._events):
            for target, name in event["targets"]:
                component = self._components.get(target)
                called = component["props"].get("elem_id") if component else None
                if name == trigger and called == elem_id and event["backend_fn"]:
                    return event.get("id", number), [self._value(each) for each in event["inputs"]]
        raise LookupError(f"the page has no {trigger} of {elem_id}")

    def _value(self, component: int) -> Any:
        return self._components[component]["props"].get("value")


class Visitor:
    """One tab of one browser."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        page: Page,
        shown: str,
        seconds: dict[str, list[float]],
        errors: Counter[str],
    ):
        self._client = client
        self._page = page
        self._shown = shown  # the run that the tab asks for what is new
        self._seen: dict[str, Any] = {"run": shown, "status": "finished", "seq": 0}  # of it: at first little
        self._seconds = seconds
        self._errors = errors
        self._session = uuid.uuid4().hex[:12]

    async def stay(self, until: float, starts: bool) -> None:
        try:
            await self._open()
            await self._event("load")
            if starts:
                await self._event("click", "prune")
            while time.monotonic() < until:
                await self._poll()
                await asyncio.sleep(1.0)
        except Exception as error:
            self._errors[f"{type(error).__name__}: {str(error)[:80]}"] += 1

    async def _open(self) -> None:
        """The document, which holds Gradio's configuration; what it links to is cached for ever."""
        begun = time.perf_counter()
        answer = await self._client.get("/")
        answer.raise_for_status()
        self._seconds["page"].append(time.perf_counter() - begun)

    async def _event(self, trigger: str, elem_id: str | None = None) -> None:
        """From the press to the last answer of the queue."""
        number, inputs = self._page.event(trigger, elem_id)
        begun = time.perf_counter()
        asked = {"data": inputs, "fn_index": number, "session_hash": self._session, "event_data": None}
        joined = await self._client.post("/gradio_api/queue/join", json=asked)
        joined.raise_for_status()
        stream = self._client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self._session})
        async with stream as answer:
            async for line in answer.aiter_lines():
                if '"process_completed"' in line:
                    self._seconds["event"].append(time.perf_counter() - begun)
                    if not json.loads(line.removeprefix("data:")).get("success", True):
                        self._errors["an event failed"] += 1
                    return

    async def _poll(self) -> None:
        begun = time.perf_counter()
        answer = await self._client.get(f"/studio/runs/{self._shown}/live", params=self._seen)
        answer.raise_for_status()
        self._seconds["poll"].append(time.perf_counter() - begun)
        self._seen = answer.json()["seen"]


async def visit(
    address: str, shown: str, visitors: int, seconds: float
) -> tuple[dict[str, list[float]], Counter[str]]:
    """(seconds by kind of request, errors by their words) of so many visitors, who come within ten seconds."""
    found: dict[str, list[float]] = {kind: [] for kind in TARGETS}
    errors: Counter[str] = Counter()
    page = Page(httpx.get(f"{address.rstrip('/')}/config", timeout=_PATIENCE).json())
    until = time.monotonic() + seconds

    async def come(number: int) -> None:
        await asyncio.sleep(random.Random(number).uniform(0, min(10.0, seconds / 3)))
        async with httpx.AsyncClient(
            base_url=address, timeout=_PATIENCE
        ) as client:  # with a cookie of its own
            await Visitor(client, page, shown, found, errors).stay(until, number < visitors * _STARTERS)

    await asyncio.gather(*(come(number) for number in range(visitors)))
    return found, errors


def percentiles(seconds: list[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return dict.fromkeys(("p50", "p95", "p99"), round(seconds[0], 3) if seconds else float("nan"))
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {name: round(cuts[place], 3) for name, place in (("p50", 49), ("p95", 94), ("p99", 98))}


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="apt-load-", ignore_cleanup_errors=True) as scratch:
        found = _measure(Path(scratch), options)
    print(json.dumps(found) if options.json else table(found))
    return int(bool(missed(found) or found["errors"]))


def missed(found: dict[str, Any]) -> list[str]:
    """The kinds of request that took too long, or were never answered."""
    return [kind for kind, most in TARGETS.items() if not found[kind]["p95"] <= most]


def _measure(scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    from browser_app import App

    from apt_core.reports import samples

    shown = next(iter(samples.load()))
    app = App(
        scratch,
        APT_PUBLIC="1",
        APT_MEASURE="0",
        GRADIO_SERVER_NAME="127.0.0.1",
        APT_VISITORS_PER_HOUR="off",  # all of them come from one address
        APT_ADDRESS_RUNS_PER_HOUR="off",
    ).start()
    try:
        process = psutil.Process(app._process.pid)
        before = process.memory_info().rss
        seconds, errors = asyncio.run(visit(app.address, shown, options.visitors, options.seconds))
        return {
            **{kind: percentiles(values) for kind, values in seconds.items()},
            "errors": sum(errors.values()),
            "what": dict(errors),
            "rss_growth_bytes": process.memory_info().rss - before,
            "files": process.num_fds(),
            "requests": {kind: len(values) for kind, values in seconds.items()},
            "visitors": options.visitors,
            "seconds": options.seconds,
        }
    finally:
        app.stop()


def table(found: dict[str, Any]) -> str:
    lines = ["| seconds | p50 | p95 | p99 | at most (p95) | asked |", "|---|---:|---:|---:|---:|---:|"]
    for kind, most in TARGETS.items():
        cells = [f"{found[kind][name]:.3f}" for name in ("p50", "p95", "p99")]
        lines.append(f"| {kind} | {' | '.join(cells)} | {most:g} | {found['requests'][kind]} |")
    growth = found["rss_growth_bytes"] / 1e6
    lines += [
        "",
        f"{found['visitors']} visitors for {found['seconds']:g} s; {found['errors']} errors {found['what'] or ''}; the "
        f"page's memory grew by {growth:.0f} MB, {found['files']} files are open.",
    ]
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visitors", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
