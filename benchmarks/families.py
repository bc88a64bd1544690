"""Every family with every method at 50% and 2:4, on tiny random models: the contract test, run in full.

    python -m benchmarks.families
    python -m benchmarks.docs     # puts the table into docs/reference/families.md

Each of them is one test of tests/test_families.py: exact sparsity, nothing else touched, the checkpoint loads in
transformers again and gives the same logits. Prints one Markdown table and appends one JSON record to
benchmarks/results/families.jsonl.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "families.jsonl"
TEST = "test_every_family_is_pruned_exactly_and_loads_again"


class _Outcomes:
    """A plugin of pytest that keeps what became of each combination."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, dict[str, str]]] = {}  # family -> method -> pattern -> why it failed

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo):
        outcome = yield
        asked = item.callspec.params
        if call.when == "call" or call.excinfo is not None:
            report = outcome.get_result()
            why = "" if report.passed else str(call.excinfo.value).splitlines()[0][:200]
            of_method = self.found.setdefault(asked["family"], {}).setdefault(asked["method"], {})
            of_method[asked["pattern"]] = of_method.get(asked["pattern"]) or why


def main() -> None:
    outcomes = _Outcomes()
    chosen = [str(ROOT / "tests" / "test_families.py"), "-k", TEST, "-m", "slow or not slow"]
    pytest.main([*chosen, "-q", "-p", "no:cacheprovider", "--tb=line"], plugins=[outcomes])
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "outcomes": outcomes.found,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as results:
        results.write(json.dumps(record) + "\n")
    print(table(record))


def table(record: dict) -> str:
    """One row per kind of family, one column per method; what failed by name."""
    kinds = _kinds()
    outcomes = record["outcomes"]
    methods = list(dict.fromkeys(method for of_family in outcomes.values() for method in of_family))
    lines = [f"| families | {' | '.join(methods)} |", f"|---|{':-:|' * len(methods)}"]
    for kind, families in kinds.items():
        cells = [_cell(outcomes, families, method) for method in methods]
        lines.append(f"| **{kind}**: {', '.join(families.values())} | {' | '.join(cells)} |")
    runs = [why for of_family in outcomes.values() for of in of_family.values() for why in of.values()]
    passed = sum(not why for why in runs)
    return "\n".join(
        [
            *lines,
            "",
            f"✓: exact at 50% and at 2:4 ({passed} of {len(runs)} runs on tiny random models, "
            f"{record['versions']}, {record['date'][:10]}).",
        ]
    )


def _cell(outcomes: dict, families: dict[str, str], method: str) -> str:
    """✓ when every family of a kind passed both patterns, else the ones that did not."""
    failed = [
        f"{title} ({pattern})"
        for name, title in families.items()
        for pattern in ("0.5", "2:4")
        if outcomes.get(name, {}).get(method, {}).get(pattern, "not run")
    ]
    return "not " + ", ".join(failed) if failed else "✓"


def _kinds() -> dict[str, dict[str, str]]:
    sys.path.insert(0, str(ROOT / "tests" / "families"))
    from tiny_families import KINDS

    return KINDS


def _versions() -> str:
    import torch
    import transformers

    return f"transformers {transformers.__version__}, torch {torch.__version__.partition('+')[0]}"


if __name__ == "__main__":
    main()
