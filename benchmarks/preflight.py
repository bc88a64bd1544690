"""What the preflight says of memory, time and disk, beside what runs really take.

    python -m benchmarks.preflight
    python -m benchmarks.preflight --models tiny-llama,tiny-mamba --methods apt,wanda+reconstruction=exact --once

Each run is the product's own command line in a process of its own, twice: the first one's time is foretold by the
rates measured on this machine (`python -m apt_core.estimate.machine`; the packaged ones where it never was), the
second one's by what the first has taught as well. Seconds are those that the run counts by itself, stage by stage,
and its start. Prints one Markdown table and appends one JSON record to benchmarks/results/preflight.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apt_core.estimate.preflight import Estimate
    from apt_core.events.records import RunRecord
    from apt_core.jobs import Prune

RESULTS = Path(__file__).parent / "results" / "preflight.jsonl"
_MEGABYTE = 1e6
_ASKED = ("pattern", "text", "samples", "length", "eval_samples", "eval_length")
# Compositions that bear no name: "method+setting=value".
ODD = (
    "wanda+reconstruction=exact",
    "magnitude+reconstruction=block-wise",
    "alps+allocation=loss",
    "apt+refinement=sparseswaps+reconstruction=joint",
    "apt-joint+target=own-inputs",
)


def main() -> None:
    options = _options()
    rows = []
    with tempfile.TemporaryDirectory(prefix="apt-preflight-") as temporary:
        os.environ["APT_DATA"] = temporary  # of the runs, and of the store that is asked for their records
        for model in options.models.split(","):
            for method in _methods(options.methods):
                for dtype in options.dtypes.split(","):
                    rows.append(_measure(model, method, dtype, options))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "conditions": _conditions(rows[0], options),
        "asked": {name: getattr(options, name) for name in _ASKED},
        "machine": _machine(),
        "facts": {model: _facts(model) for model in options.models.split(",")},
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as results:
        results.write(json.dumps(record) + "\n")
    print(table(record))


def _methods(listed: str) -> list[str]:
    from apt_core.methods import METHODS

    groups = {"named": list(METHODS), "odd": list(ODD), "all": [*METHODS, *ODD]}
    return groups.get(listed) or listed.split(",")


def table(record: dict) -> str:
    """The Markdown table of one record: foretold, measured, and how far the first is off the second."""
    lines = [
        "| model | method | dtype | memory, MB | | | disk, MB | | first run, s | | | second run, s | | |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in record["rows"]:
        cells = [row["model"], row["method"], row["dtype"]]
        for what, scale in (("memory", _MEGABYTE), ("disk", _MEGABYTE), ("first", 1), ("second", 1)):
            if what not in row:
                cells += ["-", "-", "-"]
                continue
            said, was = row[f"{what}_said"] / scale, row[what] / scale
            off = [] if what == "disk" else [f"{said / was - 1:+.0%}"]
            cells += [_short(said), _short(was), *off]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", record["conditions"]])


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}"


def _measure(model: str, method: str, dtype: str, options: argparse.Namespace) -> dict:
    from apt_core.estimate.preflight import estimate, rates_from, rates_here
    from apt_core.models.catalogue.facts import model_facts

    if not options.once:
        _run(
            _recipe(model, "magnitude", dtype, options, shorter=16), options
        )  # fetches and converts the model
    recipe, again = (_recipe(model, method, dtype, options, shorter) for shorter in (8, 0))
    facts = model_facts(recipe.model)
    rates = rates_here(dtype)
    before = estimate(recipe, facts, rates)
    first = _run(recipe, options)
    row = {
        "model": model,
        "method": method,
        "pattern": recipe.pattern.label,
        "dtype": dtype,
        "memory_said": before.memory_bytes,
        "memory": first.finished.peak_rss_bytes,
        "disk_said": before.disk_bytes,
        "disk": first.pruned_speed.bytes_on_disk,
        "first_said": before.seconds,
        "first": _seconds(first),
        "parts_said": before.parts,
        "parts": first.finished.seconds,
        "hardware": first.model.hardware,
    }
    if options.once:
        return row
    learnt = estimate(again, facts, rates_from(first, rates))
    second = _run(again, options)
    return row | {"second_said": learnt.seconds, "second": _seconds(second)}


def _machine() -> dict:
    """The rates that the first runs were foretold by."""
    from apt_core.estimate.preflight import rates_here

    return rates_here().machine.model_dump()


def _facts(model: str) -> dict:
    from apt_core.jobs import ModelRef
    from apt_core.models.catalogue.facts import model_facts

    return model_facts(ModelRef(id=model)).model_dump(mode="json")


def foretold(row: dict, record: dict) -> Estimate:
    """What today's estimate says of one row of a record, on the machine that it was measured on."""
    from apt_core.base.patterns import parse_pattern
    from apt_core.estimate.machine import Machine
    from apt_core.estimate.preflight import estimate
    from apt_core.estimate.rates import rates_of
    from apt_core.models.catalogue.facts import ModelFacts

    asked, facts = argparse.Namespace(**record["asked"]), record["facts"][row["model"]]
    job = _recipe(row["model"], row["method"], row["dtype"], asked, shorter=8)
    if "pattern" not in row:  # measured when an allocation at plain N:M was the uniform one
        job = job.model_copy(update={"pattern": parse_pattern(asked.pattern)})
    return estimate(
        job, ModelFacts.model_validate(facts), rates_of(Machine(**record["machine"]), row["dtype"])
    )


def _pattern(method: str, options: argparse.Namespace) -> str:
    """An allocation has something to decide where N:M may differ from layer to layer."""
    mixed = "allocation=" in method and ":" in options.pattern
    return f"{options.pattern} mixed" if mixed else options.pattern


def _seconds(record: RunRecord) -> float:
    """Of the whole run, from when it was asked for: its worker's start included."""
    return record.ended_at - record.created_at


def _recipe(model: str, method: str, dtype: str, options: argparse.Namespace, shorter: int) -> Prune:
    """shorter: by so many tokens are the evaluation windows, since the same ones would not be measured again."""
    from apt_core import plan

    length = options.eval_length - shorter
    name, *settings = method.split("+")
    return plan(
        model,
        name,
        _pattern(method, options),
        options=dict(setting.split("=", 1) for setting in settings),
        calibration={"text": options.text, "samples": options.samples, "length": options.length},
        evaluation={"text": options.text, "samples": options.eval_samples, "length": length},
        dtype=dtype,
    )


def _run(recipe: Prune, options: argparse.Namespace) -> RunRecord:
    """The record of a run that has finished."""
    from apt_core.runs.store import Store
    from apt_core.ui.views.command import command

    asked = shlex.split(command(recipe))[1:] + ["--accept-terms"] * options.accept_terms
    done = subprocess.run([sys.executable, *asked, "--json"], stdout=subprocess.PIPE, text=True, check=True)
    return Store().get(json.loads(done.stdout)["run"])


def _conditions(row: dict, options: argparse.Namespace) -> str:
    return (
        f"{options.pattern}; calibration {options.samples} x {options.length}, evaluation {options.eval_samples} x "
        f"{options.eval_length} tokens of {options.text}; {row['hardware']}, {datetime.now(UTC).date()}; on average "
        f"{os.getloadavg()[2]:.0f} processes wanted a core. Each triple: foretold, measured, off by; the first run's "
        "time by the rates of the machine, the second's by what the first has taught."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="tiny-llama,tiny-mamba,smollm2-135m")
    parser.add_argument("--methods", default="all", help="names, or named, odd, all")
    parser.add_argument("--dtypes", default="auto")
    parser.add_argument("--once", action="store_true", help="no second run: memory is what matters")
    parser.add_argument("--accept-terms", action="store_true", help="as of the command line: Gemma has some")
    parser.add_argument("--pattern", default="2:4")
    parser.add_argument("--text", default="wiki-sample")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--eval-samples", type=int, default=8)
    parser.add_argument("--eval-length", type=int, default=512)
    return parser.parse_args()


if __name__ == "__main__":
    main()
