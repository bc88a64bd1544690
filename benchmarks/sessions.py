"""Memory of the page's process over many visitors who come, look and go.

    python -m benchmarks.sessions --loads 2000
    python -m benchmarks.sessions --loads 2000 --json

The real app in a process of its own on this machine's loopback, as a public host. Every visitor opens the page with
a new cookie, runs every event that the page runs when it is loaded, keeps the connection that a browser keeps, and
leaves. Prints how much memory stays for each, over the second half of them (the first fills what is bounded).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]
_AT_ONCE = 8
_LOOKS = 10  # at the memory
_SETTINGS = {
    "APT_PUBLIC": "1",
    "APT_MEASURE": "0",
    "GRADIO_SERVER_NAME": "127.0.0.1",
    "APT_VISITORS_PER_HOUR": "off",
}


async def _visit(address: str, events: list[dict[str, Any]], values: dict[int, Any]) -> None:
    """One page load, to the last word of its last event."""
    session = uuid.uuid4().hex[:12]
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        (await client.get("/")).raise_for_status()
        async with client.stream("GET", f"/gradio_api/heartbeat/{session}"):
            for event in events:
                asked = {
                    "fn_index": event["id"],
                    "data": [values.get(each) for each in event["inputs"]],
                    "session_hash": session,
                }
                (await client.post("/gradio_api/queue/join", json=asked)).raise_for_status()
            await _hear(client, session, len(events))


async def _hear(client: httpx.AsyncClient, session: str, many: int) -> None:
    query = {"session_hash": session}
    async with client.stream("GET", "/gradio_api/queue/data", params=query) as answer:
        async for line in answer.aiter_lines():
            many -= '"process_completed"' in line
            if many == 0:
                return


async def _all(address: str, loads: int, process: psutil.Process) -> list[tuple[int, int]]:
    """(page loads so far, bytes that the process holds), now and then."""
    config = httpx.get(f"{address}/config", timeout=60).json()
    values = {one["id"]: one["props"].get("value") for one in config["components"]}
    events = [
        one
        for one in config["dependencies"]
        if one["backend_fn"] and any(name == "load" for _, name in one["targets"])
    ]
    turns, seen = asyncio.Semaphore(_AT_ONCE), []

    async def come() -> None:
        async with turns:
            await _visit(address, events, values)

    for look in range(_LOOKS):
        await asyncio.gather(*(come() for _ in range(loads // _LOOKS)))
        seen.append(((look + 1) * (loads // _LOOKS), process.memory_info().rss))
        print(f"{seen[-1][0]} page loads: {seen[-1][1] / 1e6:.0f} MB", file=sys.stderr, flush=True)
    return seen


def kept_each(seen: list[tuple[int, int]]) -> float:
    """Bytes that stay for each page load, over the second half of them."""
    (loads, held), (all_loads, all_held) = seen[len(seen) // 2 - 1], seen[-1]
    return (all_held - held) / (all_loads - loads)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--loads", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from browser_app import App

    with tempfile.TemporaryDirectory(prefix="apt-sessions-") as scratch:
        app = App(Path(scratch), **_SETTINGS).start()
        try:
            seen = asyncio.run(_all(app.address.rstrip("/"), options.loads, psutil.Process(app._process.pid)))
        finally:
            app.stop()
    found = {"loads": seen[-1][0], "rss": [held for _, held in seen], "bytes_each": round(kept_each(seen))}
    if options.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['loads']} page loads; {found['bytes_each'] / 1000:.1f} kB stay for each of the second half"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
