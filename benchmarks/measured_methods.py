"""What the map of methods says was measured: python -m benchmarks.measured_methods [--check]

Writes assets/measured/methods.json from the newest recorded runs of `benchmarks.accuracy` (perplexities, on windows
that nothing was chosen on) and of `benchmarks.honest` (bytes and tokens per second of what is smaller as it is).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from apt_core.events import Speed
from apt_core.reports.measured import FILE, Measured, Outcome
from benchmarks import accuracy_tables, honest_table
from benchmarks.accuracy import RESULTS
from benchmarks.judge import ratio

MODEL, TEXT, SEED = "smollm2-135m", "wikipedia", 0
SETTINGS = {"0.5": "50%", "2:4": "2:4"}
STRUCTURES = {("depth", "0.25"): "25% of the blocks", ("llm-pruner", "0.2"): "20% of heads and channels"}


def made(lines: Sequence[dict], honest: dict) -> Measured:
    """lines: those of `benchmarks.accuracy`. honest: the newest record of `benchmarks.honest`."""
    mine = [line for line in lines if line["model"] == MODEL and line["seed"] == SEED]
    usual = accuracy_tables.usual_calibration(mine)
    same = [line for line in mine if line["calibration"] == usual and not line["allocation"]]
    dense = next(line for line in same if line["method"] == "dense")
    outcomes: dict[str, list[Outcome]] = {}
    for line, setting in _told(same):
        found = ratio(line["losses"][TEXT], dense["losses"][TEXT])
        apart = dict(zip(("size", "speed"), _size_and_speed(honest, line["method"]), strict=True))
        outcomes.setdefault(line["method"], []).append(
            Outcome(setting=setting, perplexity=found.value, low=found.low, high=found.high, **apart)
        )
    return Measured(conditions=_conditions(dense, usual, honest), outcomes=outcomes)


def _told(lines: Sequence[dict]) -> Iterator[tuple[dict, str]]:
    """The lines of which the map speaks, 50% before 2:4."""
    for pattern, setting in SETTINGS.items():
        yield from ((line, setting) for line in lines if line["pattern"] == pattern)
    for line in lines:
        if setting := STRUCTURES.get((line["method"], line["pattern"])):
            yield line, setting


def _size_and_speed(honest: dict, method: str) -> tuple[float | None, float | None]:
    """Bytes as they are on the disk and tokens per second of decoding, against the dense model; of structures alone."""
    dense, own = (
        next((row for row in honest["rows"] if row.get("method") == name), None) for name in ("dense", method)
    )
    if dense is None or own is None or method not in {name for name, _ in STRUCTURES}:
        return None, None
    size = own["sizes"]["on_disk"] / dense["sizes"]["on_disk"]
    speeds = [honest["speeds"].get(row["title"]) for row in (own, dense)]
    if None in speeds:
        return size, None
    mine, theirs = (Speed.model_validate(speed["decode"]) for speed in speeds)
    return size, mine.over(theirs)


def _conditions(dense: dict, calibration: str, honest: dict) -> tuple[str, ...]:
    windows, amount = len(dense["losses"][TEXT]), calibration.rpartition(" of ")[0]
    hardware = honest["conditions"]["words"].split("; ")[-1].split(". ")[0]
    return (
        f"Perplexity of SmolLM2 135M on {windows} x {dense['window']} tokens of {TEXT} on which nothing was chosen, "
        f"calibrated on {amount} of WikiText-2's validation text; one seed, every method with its own allocation.",
        f"Bytes on the disk and tokens per second, one after the other, in turns with the dense model: {hardware}.",
    )


def newest() -> str:
    """The file as the newest records make it."""
    found = made(accuracy_tables.read(RESULTS), honest_table.newest())
    return found.model_dump_json(indent=1, exclude_none=True) + "\n"


def main() -> None:
    if "--check" in sys.argv:
        same = FILE.exists() and FILE.read_text("utf-8") == newest()
        sys.exit(0 if same else f"{FILE.name} is not what the newest records say.")
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(newest(), "utf-8")


if __name__ == "__main__":
    main()
