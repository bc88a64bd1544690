"""Claims and what became of them, as Markdown and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.related import law


def table(found: Sequence[dict[str, Any]]) -> str:
    """One row per claim: on all windows together, then text by text."""
    ratios = [one for one in found if one["name"] != law.NAME]
    texts = list(dict.fromkeys(text for one in ratios for text in one["texts"]))
    rows = [("claim", "source", "seeds", "all windows", *texts), ("---",) * (4 + len(texts))]
    for one in ratios:
        seeds = ", ".join(map(str, one["seeds"])) or "not measured"
        cells = [_ratio(one["texts"].get(text)) for text in texts]
        rows.append((one["claim"], one["source"], seeds, _judged(one), *cells))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    laws = [law_sentence(one) for one in found if one["name"] == law.NAME]
    return "\n".join(lines) + "".join(f"\n\n{said}" for said in laws)


def law_sentence(one: dict[str, Any]) -> str:
    """What became of the law's claim, which is no ratio of perplexities."""
    begin = f"{one['claim']} ({one['source']})"
    if not one["curves"]:
        return f"{begin}: not measured."
    return (
        f"{begin}: **{one['verdict']}**. Median relative error of {one['points']} later points of "
        f"{len(one['curves'])} curves: {_percent(one['error'])}; of supposing that the loss stays as it was: "
        f"{_percent(one['level'])}; ratio of the mean errors {_ratio(one)}."
    )


def conditions(lines: Sequence[dict[str, Any]], model: str) -> str:
    """What the runs of `benchmarks.related` share."""
    own = [line for line in lines if line["model"] == model and "recipe" in line]
    if not own:
        return ""
    windows = ", ".join(f"{text} {skip + 1} to {skip + count}" for text, skip, count in own[0]["held_out"])
    trained = next((line["training"]["training"] for line in own if "training" in line), None)
    recovered = f", recoveries trained on {trained['text']}" if trained else ""
    return (
        f"{model}; ratios of perplexities, below 1 where the claim is right, with 95% intervals over windows and "
        f"seeds; windows {windows} of {own[0]['window']} tokens each, which nothing was calibrated, trained or "
        f"chosen on; calibration {own[0]['calibration']}{recovered}; {max(line['date'] for line in own)[:10]}."
    )


def as_json(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """No NaN, which is no JSON: an interval that is not there is null."""
    return [_finite(one) for one in found]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _judged(one: dict[str, Any]) -> str:
    return f"{_ratio(one)}: **{one['verdict']}**" if "verdict" in one else "–"


def _ratio(one: dict[str, Any] | None) -> str:
    if one is None or "value" not in one:
        return "–"
    if math.isnan(one["low"]):
        return _number(one["value"])
    return f"{_number(one['value'])} ({_number(one['low'])} to {_number(one['high'])})"


def _number(value: float) -> str:
    """Three digits, also of a ratio that is very large or small."""
    return f"{value:.3f}" if 0.01 <= value < 10 else f"{value:.3g}"


def _percent(one: dict[str, float]) -> str:
    if math.isnan(one["low"]):
        return f"{one['value']:.2%}"
    return f"{one['value']:.2%} ({one['low']:.2%} to {one['high']:.2%})"
