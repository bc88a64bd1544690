"""The recorded runs that claims are judged by, one JSON line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import accuracy_tables
from benchmarks.judge import perplexity
from benchmarks.related.recipes import Allocated, Recipe

RESULTS = Path(__file__).parent.parent / "results" / "related.jsonl"
_KEY = ("model", "recipe", "seed", "calibration")

Losses = dict[str, list[float]]  # text -> the loss of every window


def key(line: dict[str, Any]) -> tuple:
    return tuple(line[name] for name in _KEY)


def read(results: Path) -> dict[tuple, dict[str, Any]]:
    """The newest line of every run."""
    lines = map(json.loads, results.read_text().splitlines()) if results.exists() else ()
    return {key(line): line for line in lines}


def append(results: Path, line: dict[str, Any]) -> None:
    with results.open("a") as file:
        file.write(json.dumps(line) + "\n")


def of_recipe(recipe: Recipe, lines: Sequence[dict[str, Any]], model: str) -> dict[int, Losses]:
    """Seed -> the losses of what this recipe makes. lines: of `benchmarks.accuracy` and of this one alike."""
    return {
        line["seed"]: line["losses"]
        for line in lines
        if line["model"] == model and (_allocated(line) == recipe or line.get("recipe") == recipe.name)
    }


def _allocated(line: dict[str, Any]) -> Allocated | None:
    return Allocated(line["method"], line["allocation"], line["pattern"]) if "method" in line else None


def everything(of_accuracy: Path, of_related: Path) -> list[dict[str, Any]]:
    return [*accuracy_tables.read(of_accuracy), *read(of_related).values()]


def said(line: dict[str, Any]) -> str:
    """One run in one line, while it is measured."""
    levels = ", ".join(
        f"{text} {perplexity(of_windows).value:.2f}" for text, of_windows in line["losses"].items()
    )
    return (
        f"{line['model']} {line['recipe']}, seed {line['seed']}: {levels}, {line['seconds']['total']:.0f} s"
    )
