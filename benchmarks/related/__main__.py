"""The central claims of related papers, each as one ratio of perplexities on windows that nothing was chosen on.

    python -m benchmarks.related --calibration valid.txt --held-out wikitext-2=test.txt:12:16
    python -m benchmarks.related --claims owl,dsnot --seeds 0,1,2
    python -m benchmarks.related --tables --json

A claim compares two models that differ in one thing, on the same windows: the ratio of perplexities with its paired 95%
interval over windows and seeds. It holds where the whole interval is below 1, does not hold where it is above, and the
model or the text is too small to tell where it spans 1. Runs that prune in place are those of `benchmarks.accuracy` and
kept with them; all others are lines of benchmarks/results/related.jsonl. What is recorded is not measured again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import accuracy
from benchmarks.related import records
from benchmarks.related.claims import CLAIMS
from benchmarks.related.measuring import measure
from benchmarks.related.table import as_json, table
from benchmarks.related.verdicts import NAMES, verdicts


def main() -> None:
    options = _options()
    claims = [claim for claim in CLAIMS if claim.name in options.claims.split(",")]
    if not options.tables:
        measure((recipe for claim in claims for recipe in (claim.ours, claim.theirs)), options)
    lines = records.everything(options.results, options.related)
    found = verdicts(options.claims.split(","), lines, options.model)
    print(json.dumps(as_json(found), indent=2) if options.json else table(found))


def _options() -> argparse.Namespace:
    parser = accuracy.parser(__doc__)
    parser.add_argument("--claims", default=",".join(NAMES))
    parser.add_argument(
        "--training", default="", help="text of the recoveries (default: that of the calibration)"
    )
    parser.add_argument("--related", type=Path, default=records.RESULTS, help="where all other runs are kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.held_out = options.held_out or ["wikipedia=wikipedia:24:24"]
    options.training = options.training or options.calibration
    return options


if __name__ == "__main__":
    main()
