"""Where the time goes: seconds per stage, the share of this machine's matrix-product peak, and the ratio to
llm-compressor's SparseGPT on the same weights and windows in the same run.

    python -m benchmarks.speed --calibration valid.txt
    python -m benchmarks.speed --methods apt,apt-joint --patterns 0.5 --repeats 3

Prints one Markdown table and appends one JSON record to benchmarks/results/speed.jsonl. With --repeats the
runs alternate and the medians are shown.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks import runs as product
from benchmarks.peers import peer

RESULTS = Path(__file__).parent / "results" / "speed.jsonl"
PEER = "llm-compressor/SparseGPT"
_STAGES = ("forward", "statistics", "gradients", "solve")


def main() -> None:
    options = _options()
    peak = {name: _peak(name) for name in ("float32", "bfloat16")}
    methods = [PEER, *options.methods.split(",")]
    runs = []
    for repeat in range(options.repeats):
        for pattern in options.patterns.split(","):
            for method in methods:
                run = _measure(method, pattern, options)
                runs.append(run | {"repeat": repeat})
                print(method, pattern, run["seconds"], file=sys.stderr, flush=True)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "conditions": _conditions(runs, peak, options),
        "peak": peak,
        "work": _work(options),
        "runs": runs,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as results:
        results.write(json.dumps(record) + "\n")
    print(table(record))


def _measure(method: str, pattern: str, options: argparse.Namespace) -> dict:
    if peer.is_peer(method):
        return peer.prune(method, pattern, options)
    result, _ = product.prune(method, pattern, options, lambda done: None)
    return product.figures(method, result)


def table(record: dict) -> str:
    """The Markdown table of one record."""
    lines = [
        "| method | pattern | prune, s | ratio to llm-compressor's SparseGPT | forward, s (share of peak) "
        "| statistics, s (share of peak) | gradients, s | solve, s | peak memory, MB |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    groups: dict[tuple[str, str], list[dict]] = {}
    for run in record["runs"]:
        groups.setdefault((run["pattern"], run["method"]), []).append(run)
    for (pattern, method), runs in groups.items():
        seconds = median(run["prune_seconds"] for run in runs)
        against = median(run["prune_seconds"] for run in groups[pattern, PEER])
        stages = {stage: median(run["seconds"].get(stage, 0.0) for run in runs) for stage in _STAGES}
        memory = median(run["peak_rss_bytes"] for run in runs) / 1e6
        passes = 2 if stages["gradients"] or runs[0].get("twin") else 1
        shares = {
            stage: record["work"][stage] * times / stages[stage] / record["peak"][runs[0]["dtype"]]
            for stage, times in (("forward", passes), ("statistics", 1 if passes == 1 else 3))
            if stages[stage]
        }
        cells = [
            f"{stages[stage]:.1f}" + (f" ({shares[stage]:.0%})" if stage in shares else "")
            if stages[stage]
            else "-"
            for stage in _STAGES
        ]
        lines.append(
            f"| {method} | {pattern} | {seconds:.1f} | {seconds / against:.2f} | "
            + " | ".join(cells)
            + f" | {memory:.0f} |"
        )
    return "\n".join([*lines, "", record["conditions"]])


def _peak(dtype: str) -> float:
    """Operations per second of a large matrix product, the best of five."""
    import torch

    left = torch.randn(2048, 2048).to(getattr(torch, dtype))
    best = 0.0
    for _ in range(5):
        start = perf_counter()
        left @ left
        best = max(best, 2 * 2048**3 / (perf_counter() - start))
    return best


def _work(options: argparse.Namespace) -> dict[str, float]:
    """Operations of one pass of the calibration set, and of its Gram matrices (half of a full product)."""
    from apt_core.estimate.work import input_widths
    from apt_core.jobs import ModelRef
    from apt_core.models.catalogue.facts import model_facts

    facts = model_facts(ModelRef(id=options.model))
    tokens = options.samples * options.length
    squares = (facts.blocks or 0) * sum(width**2 for width in input_widths(facts.layers))
    return {"forward": 2.0 * tokens * (facts.prunable or 0), "statistics": 1.0 * tokens * squares}


def _conditions(runs: list[dict], peak: dict[str, float], options: argparse.Namespace) -> str:
    ours = next(run for run in runs if not peer.is_peer(run["method"]))
    return (
        f"{options.model}, calibration {options.samples} x {options.length} tokens; {ours['hardware']}, "
        f"{ours['dtype']} forwards, matrix products at most {peak['float32'] / 1e9:.0f} GFLOP/s in float32 and "
        f"{peak['bfloat16'] / 1e9:.0f} in bfloat16; medians of {options.repeats}, {datetime.now(UTC).date()}. "
        "Seconds: calibration forwards, statistics and pruning, without loading, evaluation and saving; for "
        "llm-compressor its `oneshot` call."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--methods", default="wanda,sparsegpt,apt,apt-joint")
    parser.add_argument("--patterns", default="0.5,2:4")
    parser.add_argument("--calibration", default="wikipedia")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=1)
    # the least that is still a run: what is measured here is pruning
    parser.set_defaults(eval="wiki-sample", eval_samples=1, eval_length=64, seed=0, dtype="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
