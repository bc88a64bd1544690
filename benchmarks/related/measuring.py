"""Make and judge what a claim needs and is not recorded yet: the product's command line, one run after the other."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apt_core.base.policy import PRIVATE
from apt_core.texts.sources import load_text
from benchmarks import accuracy, accuracy_tables, overlap, runs
from benchmarks.judge import HeldOut, losses
from benchmarks.related import records
from benchmarks.related.recipes import Allocated, Pruned, Recipe, Recovered, Searched
from benchmarks.texts import as_file

MOST_SHARED = 0.01  # of a held-out text: set phrases of an encyclopedia


def measure(recipes: Iterable[Recipe], options: argparse.Namespace) -> None:
    """Every recipe with every seed; a pruned model that several recipes go on from is made once."""
    texts = [HeldOut.parse(text) for text in options.held_out]
    check_apart([options.calibration, options.training], texts)
    wanted = list(dict.fromkeys(recipes))
    for seed in map(int, options.seeds.split(",")):
        options.seed = seed
        for recipe in wanted:
            if isinstance(recipe, Allocated):
                _measure_allocated(recipe, options, texts)
            elif isinstance(recipe, Searched):
                _Measuring(options, texts).search(recipe)
            else:
                start = recipe.start if isinstance(recipe, Recovered) else recipe
                same = [one for one in wanted if isinstance(one, Recovered) and one.start == start]
                _Measuring(options, texts).prune(start, same)


def check_apart(read: Iterable[str], texts: Iterable[HeldOut]) -> None:
    """Exit where a held-out text has sentences of what is calibrated, trained or chosen on."""
    for name in dict.fromkeys(read):
        known = load_text(as_file(name), "calibration", policy=PRIVATE)
        for text in texts:
            found = overlap.shared(known, load_text(as_file(text.file), "evaluation", policy=PRIVATE))
            if found.shared > MOST_SHARED * found.words:
                sys.exit(
                    f"{text.name} shares {found.shared:,} of {found.words:,} words with {name}, such as "
                    f"'{found.example}'; hold another text out."
                )


def _measure_allocated(recipe: Allocated, options: argparse.Namespace, texts: list[HeldOut]) -> None:
    asked = argparse.Namespace(**vars(options))
    asked.methods, asked.allocations, asked.patterns = recipe
    asked.seeds, asked.results = str(options.seed), options.results
    known = {accuracy.key(line) for line in accuracy_tables.read(options.results)}
    for line in accuracy.measured(asked, texts, known):
        records.append(options.results, line)
        print(accuracy_tables.said(line), file=sys.stderr, flush=True)


class _Measuring:
    """Runs with one seed. Each is recorded as soon as it is judged."""

    def __init__(self, options: argparse.Namespace, texts: Sequence[HeldOut]):
        self._options, self._texts = options, texts
        self._known = {} if options.again else records.read(options.related)

    def prune(self, recipe: Pruned, recoveries: Sequence[Recovered]) -> None:
        missing = [one for one in recoveries if not self._is_known(one)]
        if self._is_known(recipe) and not missing:
            return

        def then(pruned: dict[str, Any]) -> None:
            self._record(recipe, pruned)
            for one in missing:
                self._recover(pruned["run"], one)

        runs.prune(recipe.method, recipe.pattern, self._options, then)

    def search(self, recipe: Searched) -> None:
        if not self._is_known(recipe):
            runs.search(*recipe, self._options, lambda found: self._record(recipe, found))

    def _recover(self, run: str, recipe: Recovered) -> None:
        flags = [*runs.method_flags(recipe.method), "--steps", str(recipe.steps)]
        flags += ["--batch", str(recipe.batch), "--length", str(recipe.length)]
        runs.recover(run, flags, self._options, lambda found: self._record(recipe, found))

    def _is_known(self, recipe: Recipe) -> bool:
        return records.key(self._shared(recipe)) in self._known

    def _record(self, recipe: Recipe, result: dict[str, Any]) -> None:
        if self._is_known(recipe):
            return
        line = self._shared(recipe) | _figures(result)
        line["losses"] = losses(result["checkpoint"], self._texts, self._options.judge_length)
        line["date"] = datetime.now(UTC).isoformat(timespec="seconds")
        records.append(self._options.related, line)
        print(records.said(line), file=sys.stderr, flush=True)

    def _shared(self, recipe: Recipe) -> dict[str, Any]:
        options = self._options
        return {
            "model": options.model,
            "recipe": recipe.name,
            "seed": options.seed,
            "calibration": f"{options.samples} x {options.length} tokens of {Path(options.calibration).name}",
            "held_out": [[text.name, text.skip, text.windows] for text in self._texts],
            "window": options.judge_length,
        }


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    """What is recorded of a run beside its losses; of a recovery, its curve as well."""
    kept = ("sparsity", "parameters", "seconds", "peak_rss_bytes", "hardware", "dtype", "versions")
    found = {name: result[name] for name in kept}
    if result["kind"] == "recover":
        read = result["training"] | {"text": Path(result["training"]["text"]).name}
        found["training"] = {
            "training": read,
            "steps": result["optimiser_steps"],
            "options": result["options"],
        }
        found["curve"] = {"trained": result["trained"], "steps": result["steps"]}
    if result["kind"] == "search":
        found["search"] = {"tried": result["generations"][-1]["tried"], "best": _best_of(result)}
    return found


def _best_of(result: dict[str, Any]) -> dict[str, Any]:
    """The candidate that was made: blocks, heads, channels."""
    return {name: one for name, one in result["shrunk"].items() if isinstance(one, int | float | str)}
