"""`compare`: runs beside one another, from what is stored. Starts nothing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from apt_core.base import words
from apt_core.cli.output import print_json, table
from apt_core.plots.chart import RunLink, Table
from apt_core.reports.outcomes import outcome_tables
from apt_core.runs.store import Store
from apt_core.studies.compare import Comparison, Perplexity, compare, runs_to_compare, sentences
from apt_core.studies.differing import said
from apt_core.studies.named_runs import all_of_a_study
from apt_core.texts.titles import text_title

_LONGEST = 40  # characters of a value; --json has it whole


def run(options: argparse.Namespace) -> int:
    store = Store()
    records = runs_to_compare(all_of_a_study(store, options.runs), store.get)
    comparison = compare(records, options.policy)
    if options.json:
        print_json(comparison.model_dump(mode="json"))
    else:
        parts = (
            _runs(comparison),
            _differing(comparison),
            _perplexities(comparison),
            *map(_as_text, outcome_tables(records)),
            "\n".join(sentences(records)),
        )
        print("\n\n".join(filter(None, parts)))
    return 0


def _runs(comparison: Comparison) -> str:
    rows = [
        (str(number), one.run, one.status, one.title) for number, one in enumerate(comparison.runs, start=1)
    ]
    return table(("", "run", "status", "what"), rows, left=4)


def _differing(comparison: Comparison) -> str:
    """One row for each field that differs, one column for each run; how many are the same."""
    if not comparison.differing:
        return "They were asked for the very same."
    heads = ("differs", *(str(number) for number in range(1, 1 + len(comparison.runs))))
    rows = [
        (path, *(_short(values[one.run]) for one in comparison.runs))
        for path, values in comparison.differing.items()
    ]
    return f"{table(heads, rows, left=len(heads))}\n{len(comparison.shared)} fields are the same."


def _perplexities(comparison: Comparison) -> str:
    rows = [
        (
            *(str(number), one.subject, text_title(one.text), words.number(one.perplexity), _interval(one)),
            *(str(one.windows), str(one.length)),
        )
        for number, one in _measured(comparison)
    ]
    heads = ("run", "model", "text", "perplexity", "95% interval", "windows", "tokens each")
    return table(heads, rows, left=3) if rows else "None of them has measured a perplexity yet."


def _as_text(found: Table) -> str:
    """Its first column names what the row is of; the others are figures."""
    rows = [
        tuple(cell.text if isinstance(cell, RunLink) else cell for cell in row.cells) for row in found.rows
    ]
    return table(found.heads, rows, left=1)


def _measured(comparison: Comparison) -> Iterator[tuple[int, Perplexity]]:
    for number, one in enumerate(comparison.runs, start=1):
        for perplexity in one.perplexities:
            yield number, perplexity


def _interval(one: Perplexity) -> str:
    if one.low is None or one.high is None:
        return words.DASH
    return f"{words.number(one.low)} to {words.number(one.high)}"


def _short(value: Any) -> str:
    """The end of what is long: of a path the file."""
    text = said(value)
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"
