"""What the map of methods says was measured: python -m benchmarks.measured_methods [--check]

Writes assets/measured/methods.json from the newest recorded runs of `benchmarks.accuracy` and `benchmarks.related`
(perplexities, on windows that nothing was chosen on) and of `benchmarks.honest` (bytes and tokens per second of what is
smaller as it is).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from apt_core.events import Speed
from apt_core.reports.measured import FILE, Measured, Outcome
from benchmarks import accuracy_tables, honest_table
from benchmarks.accuracy import RESULTS
from benchmarks.judge import ratio
from benchmarks.related.recipes import Pruned, Recipe, Recovered, Searched
from benchmarks.related.records import RESULTS as RELATED
from benchmarks.related.records import everything

MODEL, TEXT, SEED = "smollm2-135m", "wikipedia", 0
SETTINGS = {"0.5": "50%", "2:4": "2:4"}
STEPS = "100 steps of 256 tokens"
TOLD: tuple[tuple[str, str, Recipe], ...] = (  # method, setting, how it was made
    ("depth", "25% of the blocks, by influence", Pruned("depth[criterion=influence]", "0.25")),
    ("llm-pruner", "20% of heads and channels", Pruned("llm-pruner[importance=param_first]", "0.2")),
    ("search", "80% kept, 4 minutes", Searched(0.8, 4.0, "masked")),
    ("spp", f"Wanda 2:4, {STEPS}", Recovered(Pruned("wanda", "2:4"), "spp")),
    ("lora", f"Wanda 2:4, {STEPS}", Recovered(Pruned("wanda", "2:4"), "lora")),
    (
        "partial",
        f"last 25% of the blocks gone, {STEPS}",
        Recovered(Pruned("depth[criterion=last]", "0.25"), "partial"),
    ),
)
# Components in the place of Wanda's own: slot and name, setting, (method, allocation, pattern) with and without it.
_WANDA_70, _WANDA_60 = ("wanda", "uniform", "0.7"), ("wanda", "uniform", "0.6")
COMPONENTS: tuple[tuple[str, str, tuple[str, str, str], tuple[str, str, str]], ...] = (
    *(
        (f"allocation={name}", "Wanda, 70%", ("wanda", name, "0.7"), _WANDA_70)
        for name in ("loss", "alphapruning", "owl", "atp")
    ),
    ("refinement=dsnot", "Wanda, 60%", ("wanda[refinement=dsnot]", "uniform", "0.6"), _WANDA_60),
    ("refinement=sparseswaps", "Wanda, 50%", ("sparseswaps", "", "0.5"), ("wanda", "", "0.5")),
    ("refinement=sparseswaps", "Wanda, 2:4", ("sparseswaps", "", "2:4"), ("wanda", "", "2:4")),
    ("reconstruction=exact", "Wanda, 50%", ("optima", "", "0.5"), ("wanda", "", "0.5")),
    ("reconstruction=exact", "Wanda, 2:4", ("optima", "", "2:4"), ("wanda", "", "2:4")),
)


def made(lines: Sequence[dict], honest: dict) -> Measured:
    """lines: of `benchmarks.accuracy` and `benchmarks.related`. honest: the newest record of `benchmarks.honest`."""
    mine = [line for line in lines if line["model"] == MODEL and line["seed"] == SEED]
    usual = accuracy_tables.usual_calibration(mine)
    same = [line for line in mine if line["calibration"] == usual]
    dense = next(line for line in same if line.get("method") == "dense")
    outcomes: dict[str, list[Outcome]] = {}
    for method, setting, line in _masks(same):
        outcomes.setdefault(method, []).append(Outcome(setting=setting, **_against(dense, line)))
    for method, setting, recipe in TOLD:
        if (line := _of(recipe, same)) is not None:
            saved = _size_and_speed(honest, method) | _before(dense, recipe, same)
            outcomes[method] = [Outcome(setting=setting, **_against(dense, line), **saved)]
    conditions = _conditions(dense, usual, honest)
    return Measured(conditions=conditions, outcomes=outcomes, components=_components(dense, same))


def _components(dense: dict, lines: Sequence[dict]) -> dict[str, list[Outcome]]:
    """What each component did in the place of another, where both runs are recorded."""
    recorded = {(line.get("method"), line.get("allocation"), line.get("pattern")): line for line in lines}
    found: dict[str, list[Outcome]] = {}
    for name, setting, ours, theirs in COMPONENTS:
        if {ours, theirs} <= recorded.keys():
            before = _against(dense, recorded[theirs])["perplexity"]
            one = Outcome(setting=setting, before=before, **_against(dense, recorded[ours]))
            found.setdefault(name, []).append(one)
    return found


def _masks(lines: Sequence[dict]) -> Iterator[tuple[str, str, dict]]:
    """Every method that sets single weights to zero, as it comes: 50% before 2:4."""
    for pattern, setting in SETTINGS.items():
        for line in lines:
            if line.get("pattern") == pattern and not line["allocation"] and "[" not in line["method"]:
                yield line["method"], setting, line


def _of(recipe: Recipe, lines: Sequence[dict]) -> dict | None:
    return next((line for line in lines if line.get("recipe") == recipe.name), None)


def _against(dense: dict, line: dict) -> dict[str, float]:
    found = ratio(line["losses"][TEXT], dense["losses"][TEXT])
    return {"perplexity": found.value, "low": found.low, "high": found.high}


def _before(dense: dict, recipe: Recipe, lines: Sequence[dict]) -> dict[str, float]:
    """Of a recovery: where it began."""
    start = _of(recipe.start, lines) if isinstance(recipe, Recovered) else None
    return {"before": _against(dense, start)["perplexity"]} if start else {}


def _size_and_speed(honest: dict, method: str) -> dict[str, Any]:
    """Bytes as they are on the disk and tokens per second, against the dense model, where the method has a row of its
    own."""
    rows = {row.get("method"): row for row in honest["rows"]}
    if not method or not {"dense", method} <= rows.keys():
        return {}
    own, dense = rows[method], rows["dense"]
    saved = {"size": own["sizes"]["on_disk"] / dense["sizes"]["on_disk"]}
    if not {own["title"], dense["title"]} <= honest["speeds"].keys():
        return saved
    times = {
        name: _times(honest["speeds"], own["title"], dense["title"], name) for name in ("decode", "prefill")
    }
    return saved | {"timed": True, "speed": times["decode"], "prefill": times["prefill"]}


def _times(speeds: dict, own: str, dense: str, kind: str) -> float | None:
    """How many times as fast as the dense model; None where that was not measured, or cannot be told."""
    if kind not in speeds[own] or kind not in speeds[dense]:
        return None
    mine, theirs = (Speed.model_validate(speeds[title][kind]) for title in (own, dense))
    return mine.over(theirs)


def _conditions(dense: dict, calibration: str, honest: dict) -> tuple[str, ...]:
    windows, amount = len(dense["losses"][TEXT]), calibration.rpartition(" of ")[0]
    hardware = _hardware(honest["conditions"]["words"])
    return (
        f"Perplexity of SmolLM2 135M on {windows} x {dense['window']} tokens of {TEXT} on which nothing was chosen, "
        f"calibrated on {amount} of WikiText-2's validation text; one seed, every method with its own allocation.",
        f"Bytes on the disk and tokens per second, one after the other, in turns with the dense model: {hardware}.",
    )


def _hardware(words: str) -> str:
    """Of 'the model, its type; texts; the machine. More.' the machine, which its memory or its name ends."""
    first = words.split(". ")[0]
    return first.split("; ")[-1].removesuffix(".")


def newest() -> str:
    """The file as the newest records make it."""
    found = made(everything(RESULTS, RELATED), honest_table.newest())
    return found.model_dump_json(indent=1, exclude_none=True) + "\n"


def main() -> None:
    if "--check" in sys.argv:
        same = FILE.exists() and FILE.read_text("utf-8") == newest()
        sys.exit(0 if same else f"{FILE.name} is not what the newest records say.")
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(newest(), "utf-8")


if __name__ == "__main__":
    main()
