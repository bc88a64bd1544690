"""Ours against the authors' own code of four papers, on identical weights, inputs and gradients.

    python -m benchmarks.related_authors --llm-pruner LLM-Pruner --owl OWL --alphapruning AlphaPruning --dsnot DSnoT

Each option is a copy of the authors' repository (github.com/horseee/LLM-Pruner, luuyin/OWL, haiquanlu/AlphaPruning,
zyxxmu/DSnoT); what is left out is not compared. Their functions are imported from there and run as their scripts call
them. --json prints the rows as they are. Agreement is a share of 1; `largest difference` has the unit of what is
compared, beside the range of their values.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.authors.allocations import alphapruning, owl
from benchmarks.authors.dsnot import dsnot
from benchmarks.authors.llm_pruner import llm_pruner, random_model
from benchmarks.authors.recorded import record


def main() -> None:
    options = _options()
    rows = list(_rows(options))
    print(json.dumps(rows, indent=2) if options.json else table(rows))


def _rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    dense = record(options.model, options.text, options.samples, options.length)
    if options.alphapruning:
        yield from alphapruning(options.alphapruning, dense)
    if options.owl:
        yield from owl(options.owl, dense)
    if options.dsnot:
        yield from dsnot(options.dsnot, dense)
    if options.llm_pruner:
        model, windows = random_model()
        yield from llm_pruner(options.llm_pruner, model, windows, range(1, 5), "a head a key")
        blocks = range(len(dense.weights))[1:-1]
        yield from llm_pruner(options.llm_pruner, dense.model, dense.windows, blocks, options.model)


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| compared | agreement | of | more |", "|---|---|---:|---|"]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(row: dict[str, Any]) -> str:
    if "largest_difference" in row:
        low, high = row["their_range"]
        found = f"largest difference {row['largest_difference']:.2g}, median {row['median_difference']:.2g}"
        return f"| {row['what']} | {found} | {row['of']:,} | theirs {low:.3g} to {high:.3g} |"
    more = (
        [f"rows alike {row['rows_alike']:.2%}", f"trades alike {row['trades_alike']:.2%}"]
        if "rows_alike" in row
        else []
    )
    if left := row.get("error_left"):
        more.append(f"error left {left['theirs']:.3g} theirs, {left['ours']:.3g} ours")
    return f"| {row['what']} | {row['agreement']:.2%} | {row['of']:,} | {'; '.join(more)} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("llm-pruner", "owl", "alphapruning", "dsnot"):
        parser.add_argument(
            f"--{name}", type=Path, metavar="FOLDER", help="a copy of the authors' repository"
        )
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--text", default="wikipedia")
    parser.add_argument("--samples", type=int, default=4, help="windows")
    parser.add_argument("--length", type=int, default=64, help="tokens in each")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
