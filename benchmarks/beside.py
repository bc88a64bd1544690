"""How long a run takes beside what else wants the cores: alone, one busy core, a browser that shows the page, a second
run; by one thread, by a thread for each core, and by as many as there are free cores (what the product does).

    python -m benchmarks.beside
    python -m benchmarks.beside --beside alone,busy --methods wanda --repeats 3

Every run is a process of its own, by the command line, of the same model at Quick; the choices take turns, so that what
the machine does otherwise meets all of them. Needs Chromium for the browser. Prints one Markdown table of medians and
appends one JSON record to benchmarks/results/beside.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).parent / "results" / "beside.jsonl"
_CHOICES = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "a thread for each core": {"OMP_DYNAMIC": "false"},
    "as many as are free": {},
}
_BESIDE = ("alone", "busy", "browser", "run")
_WORDS = {
    "alone": "nothing else",
    "busy": "one busy core",
    "browser": "a browser that shows the run's page",
    "run": "a second run of the same kind",
    "page": "the run clicked in that page, verdict seen",
}
_QUICK = ("--samples", "16", "--length", "256", "--eval-samples", "8", "--eval-length", "512")


def main() -> None:
    options = _options()
    rows = []
    with tempfile.TemporaryDirectory(prefix="apt-beside-") as folder:
        _run(Path(folder), options.methods.split(",")[0], options, {})  # what later runs find kept already
        for repeat in range(options.repeats):
            for method in options.methods.split(","):
                for beside in options.beside.split(","):
                    for choice, environment in _CHOICES.items():
                        row = _measured(Path(folder), method, beside, environment, options)
                        rows.append(
                            {"repeat": repeat, "method": method, "beside": beside, "threads": choice} | row
                        )
                        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "conditions": _conditions(options),
        "rows": rows,
    }
    with RESULTS.open("a") as results:
        results.write(json.dumps(record) + "\n")
    print(table(record))


def table(record: dict) -> str:
    """The Markdown table of one record: medians in seconds, and the ratio of the last choice to the better of the
    others."""
    choices = list(_CHOICES)
    lines = [
        f"| beside | method | stage | {' | '.join(choices)} | ratio to the better of the two |",
        "|---|---|---|" + "---:|" * (len(choices) + 1),
    ]
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in record["rows"]:
        groups.setdefault((row["beside"], row["method"]), []).append(row)
    for (beside, method), rows in groups.items():
        for stage in ("solve", "prune", "total"):
            found = [
                median(row[stage] for row in rows if row["threads"] == choice and stage in row)
                for choice in choices
            ]
            figures = " | ".join(f"{seconds:.1f}" for seconds in found)
            lines.append(
                f"| {_WORDS[beside]} | {method} | {stage} | {figures} | {found[-1] / min(found[:-1]):.2f} |"
            )
    return "\n".join([*lines, "", record["conditions"]])


def _measured(
    folder: Path, method: str, beside: str, environment: dict[str, str], options: argparse.Namespace
) -> dict[str, float]:
    """Seconds of the stages of one run."""
    if beside == "page":
        return _clicked(folder, environment)
    with _BESIDE_WHAT[beside](folder, method, environment, options):
        return _run(folder, method, options, environment)


def _run(
    folder: Path, method: str, options: argparse.Namespace, environment: dict[str, str]
) -> dict[str, float]:
    with _started(folder, method, options, environment) as process:
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"The run failed:\n{output.decode()[-2000:]}")
    log = folder / "runs" / json.loads(output)["run"] / "events.jsonl"
    return _seconds(log)


def _seconds(log: Path) -> dict[str, float]:
    last = json.loads(log.read_text().splitlines()[-1])
    return {stage: seconds for stage, seconds in last.get("event", last)["seconds"].items()}


@contextmanager
def _started(
    folder: Path, method: str, options: argparse.Namespace, environment: dict[str, str]
) -> Iterator[subprocess.Popen]:
    command = [
        sys.executable,
        "-m",
        "apt_core",
        "prune",
        "--model",
        options.model,
        "--pattern",
        options.pattern,
    ]
    process = subprocess.Popen(
        [*command, "--method", method, *_QUICK, "--json"],
        cwd=ROOT,
        env=_environment(folder) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _environment(folder: Path) -> dict[str, str]:
    """As a person's shell has it."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_", "GOMP_"))
    }
    return own | {"APT_DATA": str(folder)}


@contextmanager
def _nothing(*_: object) -> Iterator[None]:
    yield


@contextmanager
def _busy_core(*_: object) -> Iterator[None]:
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        spinning.kill()
        spinning.wait()


@contextmanager
def _second_run(
    folder: Path, method: str, environment: dict[str, str], options: argparse.Namespace
) -> Iterator[None]:
    """Another that works all the while, in a store of its own: begun anew whenever it ends."""
    loop = f"while {sys.executable} -m apt_core prune --model {options.model} --pattern {options.pattern} "
    loop += f"--method {method} {' '.join(_QUICK)} --json > /dev/null 2>&1; do :; done"
    with tempfile.TemporaryDirectory(prefix="apt-beside-second-") as own:
        shell = subprocess.Popen(
            ["sh", "-c", loop], cwd=ROOT, env=_environment(Path(own)) | environment, start_new_session=True
        )
        time.sleep(10)  # it has loaded its model
        try:
            yield
        finally:
            _end(shell)


def _end(shell: subprocess.Popen) -> None:
    """With all that it has started."""
    import psutil

    family = [psutil.Process(shell.pid), *psutil.Process(shell.pid).children(recursive=True)]
    for one in family:
        one.kill()
    psutil.wait_procs(family)
    shell.wait()


@contextmanager
def _browser(folder: Path, *_: object) -> Iterator[None]:
    """The page of the same store, on its newest run: each point of the run beside it is drawn as it comes."""
    with ExitStack() as stack:
        page = stack.enter_context(_page(folder, {}))
        page.wait_for_timeout(2000)
        yield


@contextmanager
def _page(folder: Path, environment: dict[str, str]) -> Iterator:
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]
    from browser_app import App
    from ensure_chromium import find_chromium
    from playwright.sync_api import sync_playwright

    from apt_core.base.paths import cache_dir

    app = App(cache_dir(), APT_WARM="1", APT_DATA=str(folder))
    app._env = _environment(folder) | {"APT_CACHE": str(cache_dir())} | environment
    app.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
            page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
            page.set_default_timeout(120_000)
            page.goto(app.address)
            yield page
    finally:
        app.stop()


def _clicked(folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """Click to verdict, as `total`, and the stages of that run."""
    with _page(folder, environment) as page:
        from browser_steps import choose_groups, prune, wait_for_end

        choose_groups(page)
        page.wait_for_function("!document.querySelector('#prune').disabled")
        page.wait_for_timeout(1000)
        begun = time.monotonic()
        run_id = prune(page)
        wait_for_end(page, 900)
        seconds = time.monotonic() - begun
    return _seconds(folder / "runs" / run_id / "events.jsonl") | {"total": seconds}


_BESIDE_WHAT = {"alone": _nothing, "busy": _busy_core, "browser": _browser, "run": _second_run}


def _conditions(options: argparse.Namespace) -> str:
    from importlib.metadata import version

    from apt_core.base import cpu

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return (
        f"{options.model}, {options.pattern}, calibration 16 x 256 tokens, evaluation 8 x 512; {cpu.model_name()}, "
        f"{cpu.usable_cores()} cores, torch {version('torch')}; medians of {options.repeats}; "
        f"commit {commit.stdout.strip()}, {datetime.now(UTC):%d %b %Y}."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--pattern", default="2:4")
    parser.add_argument("--methods", default="apt")
    parser.add_argument("--beside", default=",".join(_BESIDE), help="of alone, busy, browser, run, page")
    parser.add_argument("--repeats", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
