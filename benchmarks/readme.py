"""Put the newest recorded tables between the README's markers: python -m benchmarks.readme [--check]"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import accuracy, accuracy_tables, families, honest_table, speed
from benchmarks.related import verdicts

README = Path(__file__).parent.parent / "README.md"
RESULTS = accuracy.RESULTS
_MAIN = "smollm2-135m"
_TABLES = {
    "accuracy": lambda: accuracy_tables.tables(_runs_of(_MAIN)),
    "other models": lambda: accuracy_tables.tables(_runs_of()),
    "speed": lambda: speed.table(_newest(speed.RESULTS)),
    "honest": lambda: honest_table.table(_newest(honest_table.RESULTS)),
    "related": lambda: verdicts.recorded(_MAIN),
    "families": lambda: families.table(_newest(families.RESULTS)),
}


def with_table(readme: str) -> str:
    """The README with the newest table of each kind between its markers."""
    for name, table in _TABLES.items():
        begin, end = f"<!-- {name} table: begin -->", f"<!-- {name} table: end -->"
        before, rest = readme.split(begin)
        _, after = rest.split(end)
        readme = f"{before}{begin}\n{table()}\n{end}{after}"
    return readme


def _newest(results: Path) -> dict:
    return json.loads(results.read_text().splitlines()[-1])


def _runs_of(model: str | None = None) -> list[dict]:
    """Recorded runs of this model; of all the others when None."""
    lines = accuracy_tables.read(RESULTS)
    return [line for line in lines if (line["model"] == model if model else line["model"] != _MAIN)]


def main() -> None:
    readme = README.read_text()
    if "--check" in sys.argv:
        sys.exit(0 if with_table(readme) == readme else "The README's tables are not the newest records'.")
    README.write_text(with_table(readme))


if __name__ == "__main__":
    main()
