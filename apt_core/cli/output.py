"""Writing results: one JSON value, or plain text for a person."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

_ROWS = 12
One = TypeVar("One")


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def say(text: str) -> None:
    """A message for the person, not for the program that reads the result."""
    print(text, file=sys.stderr, flush=True)


def count_line(text: str) -> None:
    """One changing line in a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def some_of(found: Sequence[One]) -> list[One]:
    """A dozen or two of them, evenly apart, the first and the last among them."""
    every = max(1, len(found) // _ROWS)
    return [one for place, one in enumerate(found) if place % every == 0 or place == len(found) - 1]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns of text, the first `left` to the left and the rest (figures) to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, rows)])
