"""How long a visitor waits: the real app, the real SmolLM2-135M, a real Chromium, on this machine.

    python -m benchmarks.page [--tabs 20]

Needs what the tests need (tests/requirements.txt, Chromium). The model is fetched first when it is not in the
cache. Prints one Markdown table and appends a JSON record to benchmarks/results/page.jsonl.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]
RESULTS = Path(__file__).parent / "results" / "page.jsonl"
_WARMS_UP_WITHIN = 20_000  # milliseconds after a run
_WHO = {"the browser": "chromium", "the worker": "apt_core.runs.worker", "the page's server": "app.py"}


def main() -> None:
    options = _options()
    _warm_the_cache()
    from ensure_chromium import find_chromium
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        figures = _measure(browser, options.tabs)
    record = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "figures": figures, **_conditions()}
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as results:
        results.write(json.dumps(record) + "\n")
    print("| what | measured |\n|---|---:|")
    print("\n".join(f"| {what} | {value} |" for what, value in figures.items()))
    print(f"\n{record['hardware']}, torch {record['torch']}, one measurement each, {record['date'][:10]}.")


def _measure(browser, tabs: int) -> dict[str, str]:
    from browser_app import App
    from browser_steps import points, prune, wait_for_end

    from apt_core.base.paths import cache_dir

    app = App(cache_dir(), APT_WARM="1")  # as a visitor has it
    app._env.pop("OMP_NUM_THREADS", None)  # as a visitor starts it, not as the tests do
    begun = time.monotonic()
    app.start()
    try:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(120_000)
        page.goto(app.address)
        page.wait_for_function("document.querySelectorAll('#layers-chart .points path').length > 100")
        figures = {"start of `python app.py` to charts on the screen": f"{time.monotonic() - begun:.1f} s"}
        page.wait_for_function("!document.querySelector('#prune').disabled")

        pressed = time.monotonic()
        run_id = prune(page)
        _until(lambda: 1 <= points(page) < 210, page)
        figures["click to the first layer's point (Quick, APT 30%)"] = f"{time.monotonic() - pressed:.1f} s"
        wait_for_end(page, 300)
        figures["click to the verdict, both perplexities included"] = f"{time.monotonic() - pressed:.1f} s"
        figures["peak memory of the worker"] = f"{_peak(run_id) / 1e9:.2f} GB"

        page.wait_for_timeout(_WARMS_UP_WITHIN)
        pressed = time.monotonic()
        run_id = prune(page)
        _until(lambda: 1 <= points(page) < 210, page)
        figures["the same click again, libraries imported and dense perplexity known"] = (
            f"{time.monotonic() - pressed:.1f} s"
        )
        return figures | _under_load(browser, app, page, run_id, tabs)
    finally:
        app.stop()


def _under_load(browser, app, page, run_id: str, tabs: int) -> dict[str, str]:
    """Median and worst of twelve preflights, from the key to the card, and who had the cores meanwhile."""
    from browser_steps import choose_groups

    for _ in range(tabs - 1):
        other = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        other.goto(f"{app.address}/?run={run_id}")
    choose_groups(page)
    page.locator("#pattern label", has_text="Custom").click()
    page.wait_for_timeout(1000)
    waited, before, begun_all = [], _processor_seconds(), time.monotonic()
    for number in range(12):
        group, says = ("7", "divisible") if number % 2 == 0 else ("4", "Memory")
        begun = time.monotonic()
        page.locator("#of input").fill(group)
        page.wait_for_function(
            "says => document.querySelector('#preflight').innerText.includes(says)", arg=says
        )
        waited.append(time.monotonic() - begun)
        page.wait_for_timeout(600)
    spent, seconds = _processor_seconds() - before, time.monotonic() - begun_all
    page.locator("#stop").click()
    shares = ", ".join(f"{who} {spent[who] / seconds:.2f}" for who in _WHO)
    return {
        f"an event answered, {tabs} tabs open, a run on all cores": (
            f"{statistics.median(waited):.2f} s, worst {max(waited):.2f} s"
        ),
        "cores that each had meanwhile": shares,
    }


def _processor_seconds() -> Counter[str]:
    """Of browser, worker and page so far, by what is on their command lines."""
    spent: Counter[str] = Counter()
    for process in psutil.process_iter(["cmdline", "cpu_times"]):
        words, times = " ".join(process.info["cmdline"] or []), process.info["cpu_times"]
        for who, word in _WHO.items():
            if times and word in words:
                spent[who] += times.user + times.system
    return spent


def _until(condition, page) -> None:
    while not condition():
        page.wait_for_timeout(100)


def _peak(run_id: str) -> int:
    from apt_core.runs.store import Store

    return Store().get(run_id).finished.peak_rss_bytes


def _warm_the_cache() -> None:
    from apt_core.jobs import ModelRef
    from apt_core.models.fetch.sources import resolve
    from apt_core.texts.sources import load_text

    resolve(ModelRef(id="smollm2-135m"), lambda *_: None)
    load_text("wikipedia", "calibration", lambda *_: None)


def _conditions() -> dict[str, str]:
    import torch

    from apt_core.base.hardware import hardware_name

    return {"hardware": hardware_name("cpu"), "torch": torch.__version__.split("+")[0]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tabs", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
