"""One run of the product for a benchmark: its own command line, in a process of its own."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def prune(
    method: str, pattern: str, options: argparse.Namespace, then: Callable[[dict], Found]
) -> tuple[dict, Found]:
    """(what `prune --json` says, what `then` makes of it while the pruned weights are still there).

    method: a name with its settings in brackets, such as `apt[mask.selection=M;mask.block_size=512]`.
    """
    return _done(_command(method, pattern, options), then)


def recover(
    run: str, recovery: list[str], options: argparse.Namespace, then: Callable[[dict], Found]
) -> tuple[dict, Found]:
    """(what `recover --json` says of going on from a run that is still there, what `then` makes of it).

    recovery: the flags that say what is trained, and for how long.
    """
    return _done(
        [
            *("recover", "--run", run, *recovery, "--text", options.training),
            *_evaluation(options),
        ],
        then,
    )


def search(
    keep: float, minutes: float, judge: str, options: argparse.Namespace, then: Callable[[dict], Found]
) -> tuple[dict, Found]:
    """(what `search --json` says, what `then` makes of it)."""
    return _done(
        [
            *("search", "--model", options.model, "--keep", str(keep)),
            *("--minutes", str(minutes), "--judge", judge),
            *_calibration(options),
            *_evaluation(options),
        ],
        then,
    )


def _done(command: list[str], then: Callable[[dict], Found]) -> tuple[dict, Found]:
    """One run of the command line, and what `then` makes of it; afterwards the run is deleted."""
    done = subprocess.run(
        [sys.executable, "-m", "apt_core", *command, "--json"], stdout=subprocess.PIPE, text=True, check=True
    )
    result = json.loads(done.stdout)
    try:
        return result, then(result)
    finally:
        subprocess.run(
            [sys.executable, "-m", "apt_core", "runs", "delete", result["run"]],
            stdout=subprocess.DEVNULL,
            check=True,
        )


def _command(method: str, pattern: str, options: argparse.Namespace) -> list[str]:
    amount = ["--pattern", pattern] if ":" in pattern else ["--sparsity", pattern]
    return [
        *("prune", "--model", options.model, *method_flags(method), *amount),
        *_calibration(options),
        *_evaluation(options),
        *(["--accept-terms"] if getattr(options, "accept_terms", False) else []),
    ]


def method_flags(method: str) -> list[str]:
    """`apt[mask.selection=M;mask.block_size=512]` -> --method apt --set mask.selection=M --set mask.block_size=512"""
    name, _, settings = method.partition("[")
    flags = ["--method", name]
    for setting in settings.rstrip("]").split(";"):
        flags += ["--set", setting] if setting else []
    return flags


def _calibration(options: argparse.Namespace) -> list[str]:
    return [
        *("--calibration", options.calibration),
        *("--samples", str(options.samples), "--length", str(options.length)),
    ]


def _evaluation(options: argparse.Namespace) -> list[str]:
    """What every run evaluates by itself, and its seed and precision."""
    return [
        *("--eval", options.eval, "--eval-samples", str(options.eval_samples)),
        *("--eval-length", str(options.eval_length), "--seed", str(options.seed), "--dtype", options.dtype),
    ]


def figures(method: str, result: dict) -> dict:
    """What every benchmark records of a run."""
    return {
        "method": method,
        "pattern": result["pattern"],
        "mean_relative_error": result["mean_relative_error"],
        "sparsity": result["sparsity"],
        "prune_seconds": result["seconds"]["prune"],
        "seconds": result["seconds"],
        "peak_rss_bytes": result["peak_rss_bytes"],
        "hardware": result["hardware"],
        "dtype": result["dtype"],
        "versions": result["versions"],
    }
