"""Every claim with what the recorded runs say of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.accuracy import RESULTS
from benchmarks.related import law, ratios, records
from benchmarks.related.claims import CLAIMS
from benchmarks.related.table import conditions, table

NAMES = (*(claim.name for claim in CLAIMS), law.NAME)


def verdicts(names: Iterable[str], lines: list[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    """One claim after the other; that of the law, which is no ratio of perplexities, is the last."""
    wanted = set(names)
    found = [ratios.judged(claim, lines, model) for claim in CLAIMS if claim.name in wanted]
    return found + ([law.judged(lines, model)] if law.NAME in wanted else [])


def recorded(model: str, of_accuracy: Path = RESULTS, of_related: Path = records.RESULTS) -> str:
    """The table of all claims and the conditions that their runs share."""
    lines = records.everything(of_accuracy, of_related)
    return f"{table(verdicts(NAMES, lines, model))}\n\n{conditions(lines, model)}"
