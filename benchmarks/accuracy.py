"""Every method on the same weights and the same calibration windows, judged on windows that nothing was chosen on.

    python -m benchmarks.accuracy --calibration valid.txt --held-out wikitext-2=test.txt:12:24
    python -m benchmarks.accuracy --methods alps,apt-joint --allocations uniform,loss --patterns 0.5,2:4 --seeds 0,1,2
    python -m benchmarks.accuracy --methods llm-compressor/SparseGPT --tables

Each run is the product's own command line in a process of its own; what it wrote is judged by `benchmarks.judge`,
which keeps the loss of every window, so that two runs can be compared window by window. llm-compressor is installed
into a virtual environment of its own and gets the same weights and windows. Every run is one JSON line of
benchmarks/results/held_out.jsonl; a run that is there already (same model, method, allocation, pattern, seed,
calibration) is not measured again unless --again is given. Prints the tables; `python -m benchmarks.docs` puts them
into docs/results/accuracy.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from apt_core.models.catalogue import terms
from benchmarks import accuracy_tables, runs
from benchmarks.judge import HeldOut, losses
from benchmarks.peers import peer
from benchmarks.texts import commit, digest

RESULTS = Path(__file__).parent / "results" / "held_out.jsonl"
_KEY = ("model", "method", "allocation", "pattern", "seed", "calibration")


def main() -> None:
    options = _options()
    known = accuracy_tables.read(options.results)
    texts = [HeldOut.parse(text) for text in options.held_out]
    if options.accept_terms:
        terms.accept(options.model)  # the dense model is judged before any run asks for them
    if not options.tables:
        for line in measured(options, texts, {key(line) for line in known}):
            with options.results.open("a") as results:
                results.write(json.dumps(line) + "\n")
            known = [*(other for other in known if key(other) != key(line)), line]
            print(accuracy_tables.said(line), file=sys.stderr, flush=True)
    print(accuracy_tables.tables(known))


def measured(options: argparse.Namespace, texts: list[HeldOut], known: set[tuple]):
    """One line for the dense model and one for every run that is asked for and not known yet."""
    calibration = f"{options.samples} x {options.length} tokens of {Path(options.calibration).name}"
    shared = {
        "model": options.model,
        "calibration": calibration,
        "held_out": [[text.name, text.skip, text.windows] for text in texts],
        "window": options.judge_length,
    }
    made = {
        "commit": commit(),
        "sha256": {text.name: digest(text.file, "evaluation") for text in texts}
        | {"calibration": digest(options.calibration, "calibration")},
    }
    dense = shared | {"method": "dense", "allocation": "", "pattern": "", "seed": 0}
    if options.again or key(dense) not in known:
        yield dense | {"losses": losses(options.model, texts, options.judge_length), "date": _now()} | made
    for seed in map(int, options.seeds.split(",")):
        for pattern in options.patterns.split(","):
            for method in options.methods.split(","):
                for allocation in options.allocations.split(","):
                    asked = shared | {
                        "method": method,
                        "allocation": allocation,
                        "pattern": pattern,
                        "seed": seed,
                    }
                    if options.again or key(asked) not in known:
                        options.seed = seed
                        yield (
                            asked
                            | _run(method, allocation, pattern, options, texts)
                            | {"date": _now()}
                            | made
                        )


def _run(
    method: str, allocation: str, pattern: str, options: argparse.Namespace, texts: list[HeldOut]
) -> dict:
    def judge(folder: str) -> dict[str, list[float]]:
        return losses(folder, texts, options.judge_length)

    if peer.is_peer(method):
        return peer.prune(method, pattern, options, judge) | {"method": method, "pattern": pattern}
    result, found = runs.prune(
        with_allocation(method, allocation), pattern, options, lambda done: judge(done["checkpoint"])
    )
    return runs.figures(method, result) | {"pattern": pattern, "losses": found}


def with_allocation(method: str, allocation: str) -> str:
    """`alps` and `loss` -> `alps[allocation=loss]`; an empty allocation is the method's own."""
    if not allocation:
        return method
    name, _, settings = method.rstrip("]").partition("[")
    return f"{name}[{';'.join(filter(None, (settings, f'allocation={allocation}')))}]"


def key(line: dict) -> tuple:
    return tuple(line[name] for name in _KEY)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _options() -> argparse.Namespace:
    options = parser(__doc__).parse_args()
    options.held_out = options.held_out or ["wikipedia=wikipedia:24:24"]
    return options


def parser(about: str | None) -> argparse.ArgumentParser:
    """What decides a run and where it is kept; for every benchmark that makes such runs."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument(
        "--methods", default="sparsegpt,alps,apt,apt-joint", help="comma separated, options in brackets"
    )
    parser.add_argument(
        "--allocations", default="", help="such as uniform,loss; empty: each method's own default"
    )
    parser.add_argument("--patterns", default="0.5,2:4")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--calibration", default="wikipedia")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--held-out", action="append", metavar="NAME=FILE:SKIP:WINDOWS")
    parser.add_argument("--judge-length", type=int, default=1024, help="tokens of a held-out window")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--accept-terms", action="store_true")
    parser.add_argument("--again", action="store_true", help="measure what is in the results already")
    parser.add_argument("--tables", action="store_true", help="measure nothing, print the tables")
    parser.add_argument("--results", type=Path, default=RESULTS)
    # what the run itself evaluates is not looked at here: as little as can be
    parser.set_defaults(eval="wiki-sample", eval_samples=1, eval_length=64)
    return parser


if __name__ == "__main__":
    main()
