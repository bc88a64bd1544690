"""The recorded runs of `benchmarks.accuracy` as Markdown: perplexities, and paired ratios with intervals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.judge import Interval, perplexity, ratio

_PATTERNS = ("0.5", "0.6", "0.7", "0.8", "2:4", "4:8", "2:4 mixed")
_PAIRS = (
    ("apt-joint", "loss", "alps", "uniform", "as each comes"),
    ("apt-joint", "uniform", "alps", "uniform", "same allocation: the solver and its target"),
    ("apt-joint", "loss", "alps", "loss", "same allocation by the loss"),
    ("alps", "loss", "alps", "uniform", "same solver: the allocation alone"),
    ("sparsegpt", "loss", "sparsegpt", "uniform", "same solver: the allocation alone"),
)


def read(results: Path) -> list[dict]:
    """The newest line of every run."""
    if not results.exists():
        return []
    newest: dict[tuple, dict] = {}
    for line in map(json.loads, results.read_text().splitlines()):
        key = (
            line["model"],
            line["method"],
            line["allocation"],
            line["pattern"],
            line["seed"],
            line["calibration"],
        )
        newest[key] = line
    return list(newest.values())


def said(line: dict) -> str:
    """One run in one line, while it is measured."""
    found = ", ".join(
        f"{text} {perplexity(of_windows).value:.2f}" for text, of_windows in line["losses"].items()
    )
    seconds = f", {line['prune_seconds']:.0f} s" if line.get("prune_seconds") else ""
    run = " ".join(str(line[name]) for name in ("model", "method", "allocation", "pattern", "seed"))
    return f"{run}: {found}{seconds}"


def tables(lines: Sequence[dict]) -> str:
    """Every table that the recorded runs can fill, one model after the other."""
    parts = []
    for model in dict.fromkeys(line["model"] for line in lines):
        own = [line for line in lines if line["model"] == model]
        calibration = usual_calibration(own)
        same = [line for line in own if line["calibration"] == calibration]
        parts += [main_table(same), conditions(same), paired_table(same), more_text_table(own)]
    return "\n\n".join(part for part in parts if part)


def usual_calibration(lines: Sequence[dict]) -> str:
    """The calibration set that most runs of a model share."""
    names = [line["calibration"] for line in lines]
    return max(dict.fromkeys(names), key=names.count)


def main_table(lines: Sequence[dict]) -> str:
    """One table per held-out text, with the dense model first; rows are methods and allocations, seed 0."""
    dense = next(line for line in lines if line["method"] == "dense")
    runs = [line for line in lines if line["method"] != "dense" and line["seed"] == 0]
    patterns = [pattern for pattern in _PATTERNS if any(line["pattern"] == pattern for line in runs)]
    names = list(dict.fromkeys((line["method"], _allocation(line)) for line in runs))
    found = {(line["method"], _allocation(line), line["pattern"]): line for line in runs}
    head = " | ".join(_pattern(pattern) for pattern in patterns)
    parts = []
    for text, of_windows in dense["losses"].items():
        rows = [f"| {text}: method | allocation | {head} |", "|---|---|" + "---:|" * len(patterns)]
        rows.append(f"| dense | | {' | '.join([f'{perplexity(of_windows).value:.2f}'] * len(patterns))} |")
        for name in names:
            cells = [
                _cell([found[key]], [text]) if (key := (*name, pattern)) in found else "-"
                for pattern in patterns
            ]
            rows.append(f"| {name[0]} | {name[1]} | {' | '.join(cells)} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def conditions(lines: Sequence[dict]) -> str:
    """What all of these runs share, and what the dense model reaches on the same windows."""
    dense = next(line for line in lines if line["method"] == "dense")
    run = next((line for line in lines if line["method"] != "dense" and line.get("versions")), dense)
    windows = ", ".join(f"{text} {skip + 1} to {skip + count}" for text, skip, count in dense["held_out"])
    levels = ", ".join(
        f"{text} {_interval(perplexity(of_windows))}" for text, of_windows in dense["losses"].items()
    )
    made = f"{run['hardware']}, {run['dtype']} forwards, torch {run['versions']['torch'].split('+')[0]}, " * (
        run is not dense
    )
    return (
        f"{dense['model']}; perplexity on {' / '.join(dense['losses'])}, windows {windows} of {dense['window']} "
        f"tokens each, which no setting was chosen on; calibration {dense['calibration']}, seed 0, one run each; "
        f"dense: {levels} (95% over windows); {made}{max(line['date'] for line in lines)[:10]}."
    )


def paired_table(lines: Sequence[dict]) -> str:
    """Ratios of perplexities on the same windows, with seeds and intervals."""
    texts = list(next(line for line in lines if line["method"] == "dense")["losses"])
    rows = []
    for ours, own, theirs, other, what in _PAIRS:
        for pattern in _PATTERNS:
            pairs = _pairs(lines, (ours, own), (theirs, other), pattern)
            if pairs:
                cells = " | ".join(_ratio(pairs, text) for text in texts)
                name = f"{ours} ({own}) / {theirs} ({other})"
                rows.append(f"| {_pattern(pattern)} | {name} | {what} | {len(pairs)} | {cells} |")
    if not rows:
        return ""
    head = f"| pattern | ratio of perplexities | what differs | seeds | {' | '.join(texts)} |"
    return "\n".join([head, "|---|---|---|---:|" + "---:|" * len(texts), *rows])


def more_text_table(lines: Sequence[dict]) -> str:
    """The same recipe with more calibration text."""
    usual = usual_calibration(lines)
    more = [line for line in lines if line["calibration"] != usual and line["method"] not in ("dense",)]
    if not more:
        return ""
    texts = list(next(line for line in lines if line["method"] == "dense")["losses"])
    rows = ["| method | allocation | pattern | calibration | perplexity |", "|---|---|---|---|---:|"]
    asked = {(line["method"], _allocation(line), line["pattern"]) for line in more}
    shown = [line for line in lines if (line["method"], _allocation(line), line["pattern"]) in asked]
    for line in sorted(shown, key=lambda line: (line["pattern"], line["method"], _tokens(line))):
        if line["seed"] == 0:
            rows.append(
                f"| {line['method']} | {_allocation(line)} | {_pattern(line['pattern'])} | {line['calibration']} | "
                f"{_cell([line], texts)} |"
            )
    return "\n".join(rows)


def _pairs(
    lines: Sequence[dict], ours: tuple[str, str], theirs: tuple[str, str], pattern: str
) -> list[tuple[dict, dict]]:
    """The runs of both that have a seed in common."""

    def by_seed(method: str, allocation: str) -> dict[int, dict]:
        return {line["seed"]: line for line in lines if _is(line, method, allocation, pattern)}

    mine, others = by_seed(*ours), by_seed(*theirs)
    return [(mine[seed], others[seed]) for seed in sorted(mine.keys() & others.keys())]


def _ratio(pairs: Iterable[tuple[dict, dict]], text: str) -> str:
    """The ratio averaged over seeds: the interval over windows of the mean difference, and the range over seeds."""
    of_seeds = [
        [mine - other for mine, other in zip(a["losses"][text], b["losses"][text], strict=True)]
        for a, b in pairs
    ]
    averaged = [fmean(window) for window in zip(*of_seeds, strict=True)]
    whole = ratio(averaged, [0.0] * len(averaged))
    each = sorted(ratio(one, [0.0] * len(one)).value for one in of_seeds)
    seeds = f"; seeds {each[0]:.3f} to {each[-1]:.3f}" if len(each) > 1 else ""
    return f"{whole.value:.3f} ({whole.low:.3f} to {whole.high:.3f}{seeds})"


def _cell(found: Sequence[dict], texts: Sequence[str]) -> str:
    if not found:
        return "-"
    return " / ".join(f"{perplexity(found[0]['losses'][text]).value:.2f}" for text in texts)


def _interval(found: Interval) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _is(line: dict, method: str, allocation: str, pattern: str) -> bool:
    return line["method"] == method and _allocation(line) == allocation and line["pattern"] == pattern


def _allocation(line: dict) -> str:
    """By name, also where a run was left with its method's own. With plain N:M every layer gets the pattern, whatever
    was asked for."""
    if ":" in line["pattern"] and "mixed" not in line["pattern"]:
        return "uniform"
    return line["allocation"] or ("loss" if line["method"].startswith("apt-joint") else "uniform")


def _pattern(pattern: str) -> str:
    return pattern if ":" in pattern else f"{float(pattern):.0%}"


def _tokens(line: dict) -> int:
    samples, _, length, *_ = line["calibration"].split()
    return int(samples) * int(length)
