"""Memory and open files of the page's process over many runs that are started, watched and end.

    python -m benchmarks.many_runs --runs 1000
    python -m benchmarks.many_runs --runs 100 --json

The real page, queue and store in a process of their own on this machine's loopback. Tabs press Prune, ask what is new
until their run has ended, and press again; a worker copies the log of a recorded run (210 layers) into its own, so that
a run takes a second. Prints memory and open files now and then, and what stays of each run over the second half of
them. The first half fills what is bounded (the page keeps the records of 400 runs), so fewer than a thousand runs say
nothing of memory. Exits 1 when more than 50 kB stay for each run of a thousand or more, when more than 20 files more
are open at the end than after the first half, or when a run did not finish.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from apt_core.runs.store import Store
from benchmarks.load_visitors import Found, Page, Visitor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]

_TABS = 4
_LOOKS = 10  # at the process
_POLL_SECONDS = 0.3
_KEPT_EACH, _MORE_FILES = 50_000, 20
_SAY_SOMETHING = 1000  # runs
_RUN = re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b")


class Look(NamedTuple):
    """The process after so many runs."""

    runs: int
    rss: int
    files: int


async def _run(visitor: Visitor, page: Page) -> None:
    """One press of Prune, and its run watched to the end."""
    said = await visitor.press("event", *page.event("click", "prune"))
    run = _RUN.search(said)
    if run is None:
        raise LookupError(f"the page started no run: {said[-500:]}")
    await visitor.watch(run[0], _POLL_SECONDS)


async def _all(address: str, runs: int, process: psutil.Process) -> list[Look]:
    page = Page(httpx.get(f"{address}/config", timeout=60).json())
    looks, each = list[Look](), max(runs // _LOOKS // _TABS, 1)

    async def tab() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=120) as client:
            visitor = Visitor(client, page, "", "", Found())
            for _ in range(each):
                await _run(visitor, page)

    for number in range(1, _LOOKS + 1):
        await asyncio.gather(*(tab() for _ in range(_TABS)))
        looks.append(Look(number * each * _TABS, process.memory_info().rss, process.num_fds()))
        said = f"{looks[-1].runs} runs: {looks[-1].rss / 1e6:.0f} MB, {looks[-1].files} files"
        print(said, file=sys.stderr, flush=True)
    return looks


def kept(looks: list[Look]) -> tuple[float, int]:
    """(bytes that stay for each run, files more that are open), over the second half of them."""
    half, last = looks[len(looks) // 2 - 1], looks[-1]
    return (last.rss - half.rss) / (last.runs - half.runs), last.files - half.files


def missed(found: dict[str, Any]) -> list[str]:
    """What grew too much, and whether a run did not finish."""
    most = {"bytes_each": _KEPT_EACH, "files_growth": _MORE_FILES, "unfinished": 0}
    if found["runs"] < _SAY_SOMETHING:
        del most["bytes_each"]
    return [name for name, limit in most.items() if found[name] > limit]


def _measure(scratch: Path, runs: int) -> dict[str, Any]:
    from browser_app import App

    app = App(
        scratch, str(Path(__file__).with_name("many_runs_app.py")), APT_MEASURE="0", PYTHONPATH=str(ROOT)
    )
    begun = time.monotonic()
    try:
        app.start()
        looks = asyncio.run(_all(app.address, runs, psutil.Process(app._process.pid)))
    finally:
        app.stop()
    bytes_each, files_growth = kept(looks)
    ended = Store(scratch / "data").list(limit=-1)
    return {
        "runs": looks[-1].runs,
        "rss": [look.rss for look in looks],
        "files": [look.files for look in looks],
        "bytes_each": round(bytes_each),
        "files_growth": files_growth,
        "unfinished": sum(record.status != "finished" for record in ended) + looks[-1].runs - len(ended),
        "seconds": round(time.monotonic() - begun, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="apt-many-runs-", ignore_cleanup_errors=True) as scratch:
        found = _measure(Path(scratch), options.runs)
    if options.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['runs']} runs in {found['seconds']:.0f} s; {found['bytes_each'] / 1000:.1f} kB stay for each of "
            f"the second half, {found['files_growth']} files more are open, {found['unfinished']} did not finish"
        )
    return int(bool(missed(found)))


if __name__ == "__main__":
    sys.exit(main())
