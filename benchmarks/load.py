"""The page under load: many visitors polling, some starting runs, some asking, one heavy run; how long they wait.

    python -m benchmarks.load --visitors 100 --seconds 60
    python -m benchmarks.load --visitors 20 --seconds 10 --json

The real app in a process of its own on this machine's loopback, with a cache and a store of its own, as a public host
(its quotas count as answers, not as errors). A search over smaller models is at work from before the first visitor
comes until the last one goes. Every visitor opens the page, runs its first event and then asks every second what is
new, as the page's script does; one in five starts a run by the page's own button, one in twenty asks the dense and the
pruned model of a finished run one question after the other. Seconds by percentiles, those of answers (which the models'
own speed decides) without a target. Exits 1 when the page takes longer than 1 s, an event longer than 2 s or a poll
longer than 0.3 s at the 95th percentile, when the page's memory grew by more than 200 MB and 2 MB for each visitor or
more than 100 files stay open after they have gone, when nobody got an answer, when the heavy run ended early, or when
anything but a quota's sentence goes wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.load_runs import HeavyRun, run_to_ask
from benchmarks.load_visitors import Found, Page, Role, Visitor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]

TARGETS = {"page": 1.0, "event": 2.0, "poll": 0.3}  # seconds at the 95th percentile
_GROWTH_BYTES, _GROWTH_EACH = 200_000_000, 2_000_000
_MORE_FILES = 100
_STARTERS, _ASKERS = 5, 20  # one visitor in so many
_PATIENCE = 120.0
_GONE_SECONDS = 3.0  # until the connections of the last visitor are closed


def role_of(number: int) -> Role:
    """What a visitor does beside looking: of a hundred, 20 start and 5 ask."""
    if number % _ASKERS == 1:
        return "ask"
    return "start" if number % _STARTERS == 0 else "watch"


async def visit(address: str, shown: str, asked: str, visitors: int, seconds: float) -> Found:
    """So many visitors, who come within ten seconds."""
    found = Found({kind: [] for kind in (*TARGETS, "ask")})
    page = Page(httpx.get(f"{address.rstrip('/')}/config", timeout=_PATIENCE).json())
    until = time.monotonic() + seconds

    async def come(number: int) -> None:
        await asyncio.sleep(random.Random(number).uniform(0, min(10.0, seconds / 3)))
        client = httpx.AsyncClient(base_url=address, timeout=_PATIENCE)  # with a cookie of its own
        async with client:
            await Visitor(client, page, shown, asked, found).stay(until, role_of(number))

    await asyncio.gather(*(come(number) for number in range(visitors)))
    return found


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
    """The kinds of request that took too long or were never answered, and what grew too much."""
    late = [kind for kind, most in TARGETS.items() if not found[kind]["p95"] <= most]
    grown = {
        "rss_growth_bytes": _GROWTH_BYTES + _GROWTH_EACH * found["visitors"],
        "files_growth": _MORE_FILES,
    }
    return late + [name for name, most in grown.items() if found[name] > most]


def _measure(scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    from browser_app import App

    from apt_core.reports import samples

    shown, asked = next(iter(samples.load())), run_to_ask(scratch)
    heavy = HeavyRun(scratch, options.heavy, options.seconds)
    app = App(
        scratch,
        APT_PUBLIC="1",
        APT_MEASURE="0",
        GRADIO_SERVER_NAME="127.0.0.1",
        APT_VISITORS_PER_HOUR="off",  # all of them come from one address
        APT_ADDRESS_RUNS_PER_HOUR="off",
        OMP_NUM_THREADS=str(os.cpu_count() or 1),  # of the heavy run
    ).start()
    try:
        heavy.wait_until_it_works()
        process = psutil.Process(app._process.pid)
        before, files = process.memory_info().rss, process.num_fds()
        found = asyncio.run(visit(app.address, shown, asked, options.visitors, options.seconds))
        found.errors += _faults(found, heavy)
        time.sleep(_GONE_SECONDS)
        return {
            **{kind: percentiles(values) for kind, values in found.seconds.items()},
            "errors": sum(found.errors.values()),
            "what": dict(found.errors),
            "refused": dict(found.refused),
            "rss_growth_bytes": process.memory_info().rss - before,
            "files_growth": process.num_fds() - files,
            "requests": {kind: len(values) for kind, values in found.seconds.items()},
            "visitors": options.visitors,
            "seconds": options.seconds,
        }
    finally:
        app.stop()
        heavy.end()


def _faults(found: Found, heavy: HeavyRun) -> Counter[str]:
    """What makes the figures say less than they seem to."""
    faults = Counter[str]()
    faults["the heavy run ended early"] += not heavy.works
    faults["nobody got an answer"] += not found.seconds["ask"]
    return +faults


def table(found: dict[str, Any]) -> str:
    lines = ["| seconds | p50 | p95 | p99 | at most (p95) | asked |", "|---|---:|---:|---:|---:|---:|"]
    for kind in (*TARGETS, "ask"):
        cells = [f"{found[kind][name]:.3f}" for name in ("p50", "p95", "p99")]
        most = f"{TARGETS[kind]:g}" if kind in TARGETS else "–"
        lines.append(f"| {kind} | {' | '.join(cells)} | {most} | {found['requests'][kind]} |")
    growth = found["rss_growth_bytes"] / 1e6
    lines += [
        "",
        f"{found['visitors']} visitors for {found['seconds']:g} s; {found['errors']} errors {found['what'] or ''}; "
        f"{sum(found['refused'].values())} times a quota's sentence; the page's memory grew by {growth:.0f} MB, "
        f"{found['files_growth']} files more are open after they have gone.",
    ]
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visitors", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--heavy", default="tiny-llama", metavar="MODEL", help="of the run that works meanwhile"
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
