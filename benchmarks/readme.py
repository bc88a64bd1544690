"""Put the newest recorded table between the README's markers: python -m benchmarks.readme [--check]"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.accuracy import RESULTS, table

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- accuracy table: begin -->", "<!-- accuracy table: end -->"


def newest_table() -> str:
    return table(json.loads(RESULTS.read_text().splitlines()[-1]))


def with_table(readme: str) -> str:
    """The README with the newest table between its markers."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{newest_table()}\n{END}{after}"


def main() -> None:
    readme = README.read_text()
    if "--check" in sys.argv:
        sys.exit(0 if with_table(readme) == readme else "The README's table is not the newest record's.")
    README.write_text(with_table(readme))


if __name__ == "__main__":
    main()
