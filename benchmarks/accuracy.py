"""Every method on the same weights, the same windows, the same evaluator, one after another on this machine.

    python -m benchmarks.accuracy --calibration valid.txt --eval test.txt
    python -m benchmarks.accuracy --methods apt,sparsegpt --patterns 2:4 --samples 16
    python -m benchmarks.accuracy --methods llm-compressor/SparseGPT,apt-joint --also python-docs

Each run is the product's own command line in a process of its own, so seconds and peak memory are what a
user gets; llm-compressor is installed into a virtual environment of its own and gets the same weights and
windows, and what it wrote is judged by the same evaluator. `--also` measures every pruned model on further
texts. Prints one Markdown table and appends one JSON record to benchmarks/results/accuracy.jsonl;
`python -m benchmarks.readme` puts the newest record's table into the README.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.judge import perplexity
from benchmarks.peers import peer

RESULTS = Path(__file__).parent / "results" / "accuracy.jsonl"
METHODS = "magnitude,wanda,sparsegpt,apt"
PATTERNS = "0.5,2:4"


def main() -> None:
    options = _options()
    runs = []
    for pattern in options.patterns.split(","):
        for method in options.methods.split(","):
            prune = peer.prune if peer.is_peer(method) else prune_with
            runs.append(prune(method, pattern, options))
            print(_line(runs[-1]), file=sys.stderr, flush=True)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "conditions": _conditions(_own(runs), options),
        "runs": runs,
    }
    options.results.parent.mkdir(exist_ok=True)
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    if options.add and lines:
        record = joined(json.loads(lines.pop()), record)
    options.results.write_text("".join(f"{line}\n" for line in [*lines, json.dumps(record)]))
    print(table(record))


def joined(before: dict, now: dict) -> dict:
    """One record of both, the newer run of what both have; refuses to mix what was measured otherwise."""
    if _but_the_day(before["conditions"]) != _but_the_day(now["conditions"]):
        raise SystemExit(
            f"The newest record was measured otherwise:\n{before['conditions']}\n{now['conditions']}"
        )
    measured = {(run["method"], run["pattern"]) for run in now["runs"]}
    kept = [run for run in before["runs"] if (run["method"], run["pattern"]) not in measured]
    return now | {"runs": [*kept, *now["runs"]]}


def _but_the_day(conditions: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d", "", conditions)


def table(record: dict) -> str:
    """The Markdown table of one record: one row per method, one pair of columns per pattern."""
    patterns = list(dict.fromkeys(run["pattern"] for run in record["runs"]))
    methods = list(dict.fromkeys(run["method"] for run in record["runs"]))
    cells = {(run["method"], run["pattern"]): run for run in record["runs"]}
    others = list(dict.fromkeys(text for run in record["runs"] for text in run.get("also", {})))
    names = ["perplexity", *(f"on {text}" for text in others), "mean relative error"]
    head = " | ".join(f"{pattern}: " + " | ".join(names) for pattern in patterns)
    lines = [f"| method | {head} |", "|---|" + "---:|" * (len(names) * len(patterns))]
    for method in methods:
        row = " | ".join(_cell(cells.get((method, pattern)), others) for pattern in patterns)
        lines.append(f"| {method} | {row} |")
    return "\n".join([*lines, "", record["conditions"]])


def _cell(run: dict | None, others: list[str]) -> str:
    if run is None:
        return " | ".join("-" * (2 + len(others)))
    error = run["mean_relative_error"]
    also = [f"{run['also'][text]:.2f}" if text in run.get("also", {}) else "-" for text in others]
    told = [f"{run['pruned']:.2f}", *also, "-" if error is None else f"{error:.4f}"]
    return " | ".join(told)


def prune_with(method: str, pattern: str, options: argparse.Namespace) -> dict:
    """One run of the product, e.g. of `apt[mask=M;block_size=512]`."""
    name, _, settings = method.partition("[")  # e.g. apt[mask=M]
    amount = ["--pattern", pattern] if ":" in pattern else ["--sparsity", pattern]
    command = [
        sys.executable, "-m", "apt_core", "prune", "--json", "--model", options.model, "--method", name, *amount,
        "--calibration", options.calibration, "--samples", str(options.samples), "--length", str(options.length),
        "--eval", options.eval, "--eval-samples", str(options.eval_samples),
        "--eval-length", str(options.eval_length), "--seed", str(options.seed), "--dtype", options.dtype,
    ]  # fmt: skip
    for setting in settings.rstrip("]").split(";"):
        command += ["--set", setting] if setting else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(done.stdout)
    also = {text: perplexity(result["run"], text, options) for text in _others(options)}
    subprocess.run(
        [sys.executable, "-m", "apt_core", "runs", "delete", result["run"]],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return {
        "method": method,
        "pattern": result["pattern"],
        "dense": result["perplexity"]["dense"],
        "pruned": result["perplexity"]["pruned"],
        "also": also,
        "mean_relative_error": result["mean_relative_error"],
        "sparsity": result["sparsity"],
        "prune_seconds": result["seconds"]["prune"],
        "seconds": result["seconds"],
        "peak_rss_bytes": result["peak_rss_bytes"],
        "hardware": result["hardware"],
        "dtype": result["dtype"],
        "versions": result["versions"],
    }


def _others(options: argparse.Namespace) -> list[str]:
    return [text for text in options.also.split(",") if text]


def _line(run: dict) -> str:
    error = run["mean_relative_error"]
    return (
        f"{run['method']} {run['pattern']}: perplexity {run['dense']:.2f} -> {run['pruned']:.2f} {run['also'] or ''}, "
        f"error {'not told' if error is None else f'{error:.4f}'}, {run['prune_seconds']:.0f} s"
    )


def _own(runs: list[dict]) -> dict:
    """A run of the product, where there is one: it says in which precision we computed."""
    return next((run for run in runs if not peer.is_peer(run["method"])), runs[0])


def _conditions(run: dict, options: argparse.Namespace) -> str:
    calibration, evaluation = (Path(name).name for name in (options.calibration, options.eval))
    return (
        f"{options.model}, dense perplexity {run['dense']:.2f}; calibration {options.samples} x {options.length} "
        f"tokens of {calibration}, evaluation {options.eval_samples} x {options.eval_length} tokens of "
        f"{evaluation}, seed {options.seed}; {run['hardware']}, {run['dtype']} forwards, "
        f"torch {run['versions']['torch'].split('+')[0]}, {datetime.now(UTC).date()}; one run each."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument(
        "--methods", default=METHODS, help=f"comma separated, options in brackets ({METHODS})"
    )
    parser.add_argument("--patterns", default=PATTERNS)
    parser.add_argument("--calibration", default="wikipedia")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--eval", default="wikipedia")
    parser.add_argument(
        "--add", action="store_true", help="add the runs to the newest record, if measured alike"
    )
    parser.add_argument("--also", default="", help="further texts to measure on, e.g. python-docs")
    parser.add_argument("--eval-samples", type=int, default=12)
    parser.add_argument("--eval-length", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the record is appended")
    return parser.parse_args()


if __name__ == "__main__":
    main()
