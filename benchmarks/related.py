"""The central claims of related papers, each as one ratio of perplexities on windows that nothing was chosen on.

    python -m benchmarks.related --calibration valid.txt --held-out wikitext-2=test.txt:12:16
    python -m benchmarks.related --claims owl,dsnot --json

A claim compares two runs that differ in one thing, on the same windows: the ratio of perplexities with its paired 95%
interval over windows and seeds. It holds where the whole interval is below 1, does not hold where it is above, and the
model or the text is too small to tell where it spans 1. Runs are those of `benchmarks.accuracy`, and kept with them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any, NamedTuple

from benchmarks import accuracy, accuracy_tables
from benchmarks.judge import HeldOut, Interval, ratio


class Run(NamedTuple):
    method: str
    allocation: str
    pattern: str


class Claim(NamedTuple):
    """`ours` is said to have a lower perplexity than `theirs`."""

    name: str
    words: str
    source: str
    ours: Run
    theirs: Run


_UNIFORM = Run("wanda", "uniform", "0.7")
CLAIMS = (
    Claim(
        "owl",
        "OWL's sparsities beat uniform ones (Wanda, 70%)",
        "arXiv 2310.05175",
        Run("wanda", "owl", "0.7"),
        _UNIFORM,
    ),
    Claim(
        "alphapruning",
        "AlphaPruning's sparsities beat uniform ones (Wanda, 70%)",
        "arXiv 2410.10912",
        Run("wanda", "alphapruning", "0.7"),
        _UNIFORM,
    ),
    Claim(
        "atp",
        "Sparsity that rises with depth beats uniform (Wanda, 70%)",
        "arXiv 2502.14770",
        Run("wanda", "atp", "0.7"),
        _UNIFORM,
    ),
    Claim(
        "dsnot",
        "DSnoT improves Wanda's mask (60%)",
        "arXiv 2310.08915",
        Run("wanda[refinement=dsnot]", "uniform", "0.6"),
        Run("wanda", "uniform", "0.6"),
    ),
    Claim(
        "loss",
        "Sparsities by the loss beat uniform ones (Wanda, 70%)",
        "this project",
        Run("wanda", "loss", "0.7"),
        _UNIFORM,
    ),
)


def main() -> None:
    options = _options()
    claims = [claim for claim in CLAIMS if claim.name in options.claims.split(",")]
    if not options.tables:
        _measure(claims, options)
    found = [_found(claim, accuracy_tables.read(options.results), options.model) for claim in claims]
    print(json.dumps(found, indent=2) if options.json else table(found))


def _measure(claims: list[Claim], options: argparse.Namespace) -> None:
    texts = [HeldOut.parse(text) for text in options.held_out]
    for run in dict.fromkeys(run for claim in claims for run in (claim.ours, claim.theirs)):
        options.methods, options.allocations, options.patterns = run
        known = {accuracy.key(line) for line in accuracy_tables.read(options.results)}
        for line in accuracy.measured(options, texts, known):
            with options.results.open("a") as results:
                results.write(json.dumps(line) + "\n")
            print(accuracy_tables.said(line), file=sys.stderr, flush=True)


def _found(claim: Claim, lines: list[dict], model: str) -> dict[str, Any]:
    """What the recorded runs say of a claim, on each text and on all together."""
    ours, theirs = (_losses(run, lines, model) for run in (claim.ours, claim.theirs))
    seeds = sorted(ours.keys() & theirs.keys())
    texts = list(ours[seeds[0]]) if seeds else []
    by_text = {
        text: ratio(
            [loss for seed in seeds for loss in ours[seed][text]],
            [loss for seed in seeds for loss in theirs[seed][text]],
        )
        for text in texts
    }
    return {
        "claim": claim.words,
        "source": claim.source,
        "seeds": seeds,
        "texts": {text: one._asdict() | {"verdict": verdict(one)} for text, one in by_text.items()},
    }


def _losses(run: Run, lines: list[dict], model: str) -> dict[int, dict[str, list[float]]]:
    """Seed -> text -> the loss of every window."""
    return {
        line["seed"]: line["losses"]
        for line in lines
        if (line["method"], line["allocation"], line["pattern"]) == run and line["model"] == model
    }


def verdict(found: Interval) -> str:
    if math.isnan(found.low):  # one window has no interval
        return "too little to tell"
    if found.high < 1:
        return "holds"
    return "does not hold" if found.low > 1 else "too small to tell"


def table(found: list[dict[str, Any]]) -> str:
    texts = list(dict.fromkeys(text for one in found for text in one["texts"]))
    lines = [
        f"| claim | source | seeds | {' | '.join(texts)} |",
        f"|---|---|---|{'---|' * len(texts)}",
    ]
    for one in found:
        cells = [_cell(one["texts"].get(text)) for text in texts]
        seeds = ", ".join(map(str, one["seeds"])) or "not measured"
        lines.append(f"| {one['claim']} | {one['source']} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(one: dict[str, Any] | None) -> str:
    if one is None:
        return "–"
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f}): {one['verdict']}"


def _options() -> argparse.Namespace:
    parser = accuracy.parser(__doc__)
    parser.add_argument("--claims", default=",".join(claim.name for claim in CLAIMS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.held_out = options.held_out or ["wikipedia=wikipedia:24:24"]
    return options


if __name__ == "__main__":
    main()
