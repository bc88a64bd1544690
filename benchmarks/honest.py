"""What pruning saves beside what rounding saves: one table of size, perplexity, agreement and speed.

    python -m benchmarks.honest
    python -m benchmarks.honest --model tiny-llama --eval-samples 4 --eval-length 128 --samples 4 --length 64

Rows: the dense model, APT joint at 50%, APT 2:4, the dense model rounded to 8 and to 4 bits (round to nearest in groups
of 128 inputs, not GPTQ or AWQ), APT joint at 50% rounded to 8 bits, and two that are smaller as they are: a quarter of
the blocks gone (`depth`), a fifth of heads and channels (`llm-pruner`), nothing trained afterwards. Every row is
measured on the same windows; KL and agreement are against the dense model; models take turns where speed is measured.
Prints one Markdown table and appends one JSON record to benchmarks/results/honest.jsonl.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

import apt_core
from apt_core import families
from apt_core.base import hardware
from apt_core.base.policy import PRIVATE
from apt_core.events import Diverged, Evaluated, Rounded
from apt_core.execute.opening import Opened
from apt_core.execute.rounding import RoundedStore, rounded_size
from apt_core.jobs import ModelRef
from apt_core.jobs.parts import Rounding
from apt_core.measure.divergence import diverged, window_divergences
from apt_core.measure.perplexity import perplexity_events
from apt_core.measure.size import folder_sizes
from apt_core.measure.speed import alternate
from apt_core.models.fetch.sources import resolve
from apt_core.models.load.loading import load
from apt_core.models.load.weight_store import MemoryStore, WeightStore
from apt_core.passes.evaluation import LastStates
from apt_core.texts.sources import read
from apt_core.texts.windows import token_windows
from benchmarks.honest_table import RESULTS, table


class Row(NamedTuple):
    """title, the folder whose weights are read, and the bits that they are rounded to."""

    title: str
    folder: Path
    bits: str = "none"
    method: str = ""  # its name, where what was made is smaller as it is


def main() -> None:
    options = _options()
    dense = resolve(ModelRef(id=options.model), policy=PRIVATE)
    with tempfile.TemporaryDirectory(prefix="apt-honest-") as temporary:
        joint = _pruned(options, "apt-joint", "0.5", Path(temporary) / "joint")
        two_four = _pruned(options, "apt", "2:4", Path(temporary) / "two-four")
        depth = _pruned(options, "depth", "0.25", Path(temporary) / "depth")
        narrow = _pruned(options, "llm-pruner", "0.2", Path(temporary) / "narrow")
        rows = [
            Row("dense", dense, method="dense"), Row("APT joint, 50%", joint), Row("APT, 2:4", two_four),
            Row("8 bits", dense, "8"), Row("4 bits", dense, "4"), Row("APT joint, 50%, then 8 bits", joint, "8"),
            Row("25% of the blocks", depth, method="depth"),
            Row("20% of heads and channels", narrow, method="llm-pruner"),
        ]  # fmt: skip
        found = list(_measured(rows, options))
        timed = [row for row in rows if row.bits == "none"]
        speeds = {} if options.no_speed else _speeds(timed, options)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "conditions": _conditions(options),
        "rows": found,
        "speeds": speeds,
    }
    if not options.dry:
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a") as results:
            results.write(json.dumps(record) + "\n")
    print(table(record))


def _pruned(options: argparse.Namespace, method: str, pattern: str, out: Path) -> Path:
    apt_core.prune(
        options.model, method, pattern, out=out / "checkpoint", store=False, device="cpu", dtype=options.dtype,
        calibration={"text": options.calibration, "samples": options.samples, "length": options.length},
        evaluation={"text": options.eval, "samples": 1, "length": options.eval_length},
    )  # fmt: skip
    return out / "checkpoint"


def _measured(rows: list[Row], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row after the other, so that one model is in memory; the dense one first, which all are compared with."""
    dense_states: torch.Tensor | None = None
    for row in rows:
        model, tokenizer = load(row.folder, getattr(torch, options.dtype), "cpu")
        text, _ = read(options.eval, "evaluation", shared=options.eval == options.calibration)
        opening = families.opening_token(cast(Any, model.config), tokenizer)
        windows = token_windows(tokenizer, text, options.eval_length, options.eval_samples, opening)
        store = MemoryStore(model)
        opened = Opened(row.folder, model, tokenizer, store, families.all_layers(store.blocks))
        rounding = Rounding(bits=cast(Any, row.bits))
        used = cast(WeightStore, RoundedStore(store, rounding)) if rounding.number else store
        last = LastStates(len(windows))
        evaluated = _returned(perplexity_events(model, windows, "model", options.eval, used, last))
        assert last.states is not None
        dense_states = last.states if dense_states is None else dense_states
        pairs = list(window_divergences(model, used, windows, dense_states, last.states))
        apart = diverged(pairs, options.eval, windows.shape[1])
        yield _row(row, evaluated, apart, _rounded(opened, rounding))


def _row(row: Row, evaluated: Evaluated, apart: Diverged, rounded: Rounded | None) -> dict[str, Any]:
    sizes = folder_sizes(row.folder).model_dump()
    if rounded:  # these files are not written, so nothing of them is compressed
        sizes |= {
            "on_disk": rounded.n_bytes,
            "packed": rounded.packed_bytes,
            "compressed": None,
            "resident": None,
        }
    return {
        "title": row.title,
        "method": row.method,
        "sizes": sizes,
        "rounded": rounded.model_dump(exclude={"kind"}) if rounded else None,
        "evaluated": evaluated.model_dump(exclude={"kind"}),
        "diverged": apart.model_dump(exclude={"kind"}),
    }


def _rounded(opened: Opened, rounding: Rounding) -> Rounded | None:
    steps = rounded_size(opened, rounding) if rounding.number else iter(())
    return next((step for step in steps if isinstance(step, Rounded)), None)


def _speeds(rows: list[Row], options: argparse.Namespace) -> dict[str, Any]:
    models = {row.title: load(row.folder, getattr(torch, options.dtype), "cpu")[0] for row in rows}
    found = alternate(models, repeats=options.repeats)
    return {title: speeds.model_dump() for title, speeds in found.items()}


def _returned(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _conditions(options: argparse.Namespace) -> dict[str, Any]:
    said = (
        f"{options.model}, {options.dtype}; {options.eval_samples} x {options.eval_length} tokens of {options.eval}, "
        f"calibrated on {options.samples} x {options.length} of {options.calibration}; "
        f"{hardware.hardware_name('cpu')}. Sizes of rounded models are computed, scales counted; in the column packed "
        "only codes of kept weights are."
    )
    return {"words": said, "versions": hardware.versions(), **vars(options)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--calibration", default="wikipedia")
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--eval", default="wikipedia")
    parser.add_argument("--eval-samples", type=int, default=12)
    parser.add_argument("--eval-length", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5, help="turns of every model where speed is measured")
    parser.add_argument("--no-speed", action="store_true", help="on a machine that does other work")
    parser.add_argument("--dry", action="store_true", help="print the table, keep no record")
    return parser.parse_args()


if __name__ == "__main__":
    main()
