"""Put the newest recorded tables between the README's markers: python -m benchmarks.readme [--check]"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import accuracy, families, speed

README = Path(__file__).parent.parent / "README.md"
RESULTS = accuracy.RESULTS
_TABLES = {
    "accuracy": (accuracy.RESULTS, accuracy.table),
    "speed": (speed.RESULTS, speed.table),
    "families": (families.RESULTS, families.table),
}


def with_table(readme: str) -> str:
    """The README with the newest table of each kind between its markers."""
    for name, (results, table) in _TABLES.items():
        begin, end = f"<!-- {name} table: begin -->", f"<!-- {name} table: end -->"
        before, rest = readme.split(begin)
        _, after = rest.split(end)
        newest = table(json.loads(results.read_text().splitlines()[-1]))
        readme = f"{before}{begin}\n{newest}\n{end}{after}"
    return readme


def main() -> None:
    readme = README.read_text()
    if "--check" in sys.argv:
        sys.exit(0 if with_table(readme) == readme else "The README's tables are not the newest records'.")
    README.write_text(with_table(readme))


if __name__ == "__main__":
    main()
