"""Every method as this checkout and as another one of this project runs it, turn and turn about.

    git worktree add ../before 21bc7f0
    python -m benchmarks.versions --before ../before --models tiny-llama,tiny-mamba
    python -m benchmarks.versions --before ../before --models smollm2-135m --methods sparsegpt,alps,apt --rounds 3

Both run the same command line with the same Python and the same packages, each with a store and a cache of its own.
The runs of a row alternate, so that what else the machine does meets both; seconds and bytes are medians over
`--rounds`. Prints one Markdown table and appends one JSON record to benchmarks/results/versions.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent.parent
RESULTS = HERE / "benchmarks" / "results" / "versions.jsonl"
_METHODS = "magnitude,wanda,ria,sparsegpt,thanos,d2prune,sparseswaps,admm,alps,optima,apt,apt-joint"
_NOISE = {"perplexity": 0.01, "seconds": 0.10, "peak": 0.10}  # a smaller difference means nothing


def main() -> None:
    options = _options()
    rows = []
    with tempfile.TemporaryDirectory(prefix="apt-versions-") as temporary:
        sides = {"before": options.before.resolve(), "after": HERE}
        for model in options.models.split(","):
            for pattern in options.patterns.split(","):
                for method in options.methods.split(","):
                    rows.append(_row(model, pattern, method, sides, Path(temporary), options))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "before": _commit(sides["before"]),
        "after": _commit(HERE),
        "calibration": f"{options.samples} x {options.length} tokens of {Path(options.calibration).name}",
        "evaluation": f"{options.eval_samples} x {options.eval_length} tokens of {Path(options.eval).name}",
        "rounds": options.rounds,
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "rows": rows,
    }
    with RESULTS.open("a") as results:
        results.write(json.dumps(record) + "\n")
    print(table(record))


def table(record: dict) -> str:
    """The Markdown table of one record; what is worse by more than noise is marked."""
    lines = [
        "| model | method | pattern | layer error, before | after | perplexity, before | after "
        "| prune, s, before | after | peak, MB, before | after |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in record["rows"]:
        before, after = row["before"], row["after"]
        cells = [f"{before['error']:.4f}", f"{after['error']:.4f}"]
        for name, scale, digits in (("perplexity", 1, 2), ("seconds", 1, 1), ("peak", 1e6, 0)):
            worse = after[name] > before[name] * (1 + _NOISE[name])
            cells += [
                f"{before[name] / scale:.{digits}f}",
                f"{after[name] / scale:.{digits}f}{' ▲' if worse else ''}",
            ]
        lines.append(f"| {row['model']} | {row['method']} | {row['pattern']} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", _conditions(record)])


def _conditions(record: dict) -> str:
    return (
        f"Commit {record['before']} against {record['after']}, runs alternating in one sitting, "
        f"{record['rounds']} each; calibration {record['calibration']}, perplexity on {record['evaluation']}; "
        f"{record['rows'][0]['after']['hardware']}, threads: {record['threads']}. ▲: worse by more than noise "
        "(1% of perplexity, 10% of seconds or bytes)."
    )


def _row(
    model: str, pattern: str, method: str, sides: dict[str, Path], scratch: Path, options: argparse.Namespace
) -> dict:
    runs: dict[str, list[dict]] = {name: [] for name in sides}
    for round_ in range(options.rounds):
        for name in sorted(sides, reverse=bool(round_ % 2)):
            runs[name].append(_run(sides[name], model, pattern, method, scratch / name, options))
    return {"model": model, "method": method, "pattern": pattern} | {
        name: _together(found) for name, found in runs.items()
    }


def _run(
    checkout: Path, model: str, pattern: str, method: str, folder: Path, options: argparse.Namespace
) -> dict:
    amount = ["--pattern", pattern] if ":" in pattern else ["--sparsity", pattern]
    command = [
        sys.executable, "-m", "apt_core", "prune", "--json", "--model", model, "--method", method, *amount,
        "--calibration", options.calibration, "--samples", str(options.samples), "--length", str(options.length),
        "--eval", options.eval, "--eval-samples", str(options.eval_samples),
        "--eval-length", str(options.eval_length), "--dtype", options.dtype,
    ]  # fmt: skip
    environment = os.environ | {
        "APT_DATA": str(folder / "data"),
        "APT_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(checkout),
        "APT_MEASURE": "0",
    }
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=checkout, env=environment
    )
    said = json.loads(done.stdout)
    return {
        "error": said["mean_relative_error"],
        "perplexity": said["perplexity"]["pruned"],
        "seconds": said["seconds"]["prune"],
        "peak": said["peak_rss_bytes"],
        "hardware": said["hardware"],
    }


def _together(runs: list[dict]) -> dict:
    numbers = {name: median(run[name] for run in runs) for name in ("error", "perplexity", "seconds", "peak")}
    return numbers | {"all_seconds": [run["seconds"] for run in runs], "hardware": runs[0]["hardware"]}


def _commit(checkout: Path) -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the version before")
    parser.add_argument("--models", default="tiny-llama,tiny-mamba")
    parser.add_argument("--methods", default=_METHODS)
    parser.add_argument("--patterns", default="0.5,2:4")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--calibration", default="wikipedia")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--eval", default="wikipedia")
    parser.add_argument("--eval-samples", type=int, default=16)
    parser.add_argument("--eval-length", type=int, default=512)
    parser.add_argument("--dtype", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
