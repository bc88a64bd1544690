"""The table of `benchmarks.honest` from its records. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apt_core.base import words
from apt_core.events import Speed

RESULTS = Path(__file__).parent / "results" / "honest.jsonl"
_HEADS = (
    "model",
    "as it is",
    "zstd",
    "packed",
    "perplexity",
    "KL",
    "agreement",
    "prefill, tokens/s",
    "decode, tokens/s",
)


def newest() -> dict[str, Any]:
    """The last record."""
    return json.loads(RESULTS.read_text().splitlines()[-1])


def table(record: dict[str, Any]) -> str:
    """The Markdown table of one record, and what it was measured on."""
    lines = ["| " + " | ".join(_HEADS) + " |", "|---|" + "---:|" * (len(_HEADS) - 1)]
    for row in record["rows"]:
        sizes, one, apart = row["sizes"], row["evaluated"], row["diverged"]
        cells = [
            row["title"], *(words.size(sizes[name]) for name in ("on_disk", "compressed", "packed")),
            f"{words.number(one['perplexity'])} ({words.number(one['low'])} to {words.number(one['high'])})",
            words.number(apart["kl"]), words.percent(apart["agreement"]),
            *(_speed(record["speeds"], row["title"], kind) for kind in ("prefill", "decode")),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", record["conditions"]["words"]])


def _speed(speeds: dict[str, Any], title: str, kind: str) -> str:
    """Median and range; beside the dense model's the factor, or that none can be told now."""
    if title not in speeds:
        return words.DASH
    own, dense = (Speed.model_validate(speeds[name][kind]) for name in (title, next(iter(speeds))))
    said = f"{words.number(own.median)} ({words.number(own.low)} to {words.number(own.high)})"
    if own == dense:
        return said
    factor = own.over(dense)
    return f"{said}, {'difference not measurable now' if factor is None else words.times(factor)}"
