"""What sharing saves: runs as one sweep, and the same one by one, each with nothing left by the others.

    python -m benchmarks.sweep --model smollm2-135m --samples 32
    python -m benchmarks.sweep --methods apt,wanda --sparsity 0.3,0.5 --pattern 2:4,4:8
    python -m benchmarks.sweep --at-once 2    # runs of the sweep share the cores, single ones have them all

Prints `total` of both, their ratio, and the ratio that the sweep states itself (`seconds.alone`: its own measured
stages, a shared one counted for every run). The single runs each get a store and a cache of dense perplexities of their
own, over the converted models of APT_CACHE. On a quiet machine only; the order (sweep first or last) can be turned.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from types import MappingProxyType

from apt_core.base.paths import cache_dir


def main() -> None:
    options = _options()
    order = [_single_runs, _as_sweep] if options.singles_first else [_as_sweep, _single_runs]
    found: dict = {"model": options.model, "samples": options.samples, "length": options.length}
    found["at_once"] = options.at_once
    for measure in order:
        found |= measure(options)
    found["ratio"] = round(found["sweep_seconds"] / found["single_seconds"], 3)
    print(json.dumps(found, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--text", default="wikipedia")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--methods", default="apt,apt-joint,sparsegpt,wanda")
    parser.add_argument("--sparsity", default="0.3,0.5", help="shares, by commas")
    parser.add_argument("--pattern", default="", help="N:M beside them, by commas")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--singles-first", action="store_true")
    return parser.parse_args()


def _as_sweep(options: argparse.Namespace) -> dict:
    """Wall time of the whole command, and what the sweep says of itself."""
    with tempfile.TemporaryDirectory(prefix="apt-sweep-") as place:
        arguments = ["sweep", "--methods", options.methods, "--sparsity", options.sparsity]
        arguments += ["--pattern", options.pattern] if options.pattern else []
        spent, told = _command(arguments, options, Path(place), {"APT_AT_ONCE": str(options.at_once)})
    stated = told["seconds"]
    return {
        "sweep_seconds": spent,
        "stated": stated | {"ratio": round(stated["total"] / stated["alone"], 3)},
        "runs": told["runs"],
    }


def _single_runs(options: argparse.Namespace) -> dict:
    """Wall time of `prune` commands that share nothing but the model's files."""
    total = 0.0
    removals = [("--sparsity", one) for one in options.sparsity.split(",") if one]
    removals += [("--pattern", one) for one in options.pattern.split(",") if one]
    for method, removal in product(options.methods.split(","), removals):
        with tempfile.TemporaryDirectory(prefix="apt-single-") as place:
            total += _command(["prune", "--method", method, *removal], options, Path(place))[0]
    return {"single_seconds": round(total, 2)}


def _command(
    arguments: list[str],
    options: argparse.Namespace,
    place: Path,
    more: Mapping[str, str] = MappingProxyType({}),
) -> tuple[float, dict]:
    """(wall seconds, what it printed) in a store of its own, and a cache without dense perplexities."""
    cache = place / "cache"
    cache.mkdir()
    for kept in cache_dir().iterdir():
        if kept.name != "dense":
            (cache / kept.name).symlink_to(kept)
    texts = ["--calibration", options.text, "--eval", options.text]
    sizes = ["--samples", str(options.samples), "--length", str(options.length)]
    command = [
        sys.executable,
        "-m",
        "apt_core",
        *arguments,
        "--model",
        options.model,
        *texts,
        *sizes,
        "--json",
    ]
    started = time.perf_counter()
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"APT_DATA": str(place / "data"), "APT_CACHE": str(cache)} | more,
    )
    return round(time.perf_counter() - started, 2), json.loads(done.stdout)


if __name__ == "__main__":
    main()
