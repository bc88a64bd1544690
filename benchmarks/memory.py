"""Peak memory of a run against the depth of the model, beside what the preflight said it would be.

    python -m benchmarks.memory
    python -m benchmarks.memory --depths 4,8,16,32 --methods apt,apt-joint --hidden 512 --weights disk
    python -m benchmarks.memory --stored bfloat16 --dtype bfloat16
    python -m benchmarks.memory --shape llama-1b --depths 16 --methods llm-compressor/SparseGPT,apt \
        --weights disk --samples 8 --stored bfloat16 --dtype bfloat16

The models are Llama shapes with random weights (speed and memory only: their perplexity means nothing).
Each run is the product's own command line in a process of its own; llm-compressor gets the same weights and
windows in an environment of its own. Prints one Markdown table and appends
one JSON record to benchmarks/results/memory.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from apt_core.base.patterns import SemiStructured
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.shape import LlamaShape
from assets.make.make_tiny import make
from benchmarks.peers import peer

RESULTS = Path(__file__).parent / "results" / "memory.jsonl"
_MEGABYTE = 1e6
_SHAPES = {"llama-1b": "meta-llama/Llama-3.2-1B"}
_FEW_STEPS = {"apt-joint": ("mask.steps=2", "reconstruction.steps=2")}  # more take time, not memory


def main() -> None:
    options = _options()
    rows = []
    with tempfile.TemporaryDirectory(prefix="apt-memory-") as temporary:
        for depth in map(int, options.depths.split(",")):
            folder = _model(Path(temporary) / f"random-llama-{depth}", depth, options)
            for method in options.methods.split(","):
                for weights in ("memory",) if peer.is_peer(method) else options.weights.split(","):
                    rows.append(_measure(folder, depth, method, weights, options))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "conditions": _conditions(rows[0], options),
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as results:
        results.write(json.dumps(record) + "\n")
    print(table(record))


def table(record: dict) -> str:
    """The Markdown table of one record."""
    lines = [
        "| method | weights in | blocks | weights, MB | peak, MB | less weights | less one block "
        "| preflight said, MB | off by |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in record["rows"]:
        peak, weights, block = (row[key] / _MEGABYTE for key in ("peak", "weights", "one_block"))
        said = row["estimated"] and row["estimated"] / _MEGABYTE
        told = f"{said:.0f} | {said / peak - 1:+.0%}" if said else "- | -"
        lines.append(
            f"| {row['method']} | {row['from']} | {row['blocks']} | {weights:.0f} | {peak:.0f} "
            f"| {peak - weights:.0f} | {peak - block:.0f} | {told} |"
        )
    return "\n".join([*lines, "", record["conditions"]])


def _measure(folder: Path, depth: int, method: str, weights: str, options: argparse.Namespace) -> dict:
    command = [
        sys.executable, "-m", "apt_core", "prune", "--json", "--model", str(folder), "--method", method,
        "--pattern", "2:4", "--samples", str(options.samples), "--length", str(options.length),
        "--calibration", "wiki-sample", "--eval", "wiki-sample", "--eval-samples", "4", "--eval-length", "512",
        "--dtype", options.dtype, "--weights", weights,
    ]  # fmt: skip
    for setting in _FEW_STEPS.get(method, ()):
        command += ["--set", setting]
    if peer.is_peer(method):
        result = _of_peer(folder, method, options)
    else:
        environment = os.environ | {"APT_DATA": str(folder / "runs")}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        result = json.loads(done.stdout)
    per_value = 2 if options.dtype == "bfloat16" else 4
    return {
        "method": method,
        "from": weights,
        "blocks": depth,
        "weights": _shape(depth, options).parameters * per_value,
        "one_block": sum(layer.weights for layer in _shape(depth, options).layers) * per_value,
        "peak": result["peak_rss_bytes"],
        "estimated": None if peer.is_peer(method) else _estimated(folder, method, weights, options),
        "hardware": result["hardware"],
    }


def _of_peer(folder: Path, method: str, options: argparse.Namespace) -> dict:
    from apt_core.base.hardware import hardware_name

    alike = argparse.Namespace(**vars(options), calibration="wiki-sample", seed=0)
    with tempfile.TemporaryDirectory(prefix="apt-peer-") as temporary:
        _, told = peer.run(method, SemiStructured(keep=2, of=4), folder, Path(temporary), alike)
    return told | {"hardware": hardware_name("cpu")}


def _estimated(folder: Path, method: str, weights: str, options: argparse.Namespace) -> int:
    from apt_core import plan
    from apt_core.estimate.preflight import estimate
    from apt_core.models.catalogue.facts import model_facts

    recipe = plan(
        str(folder),
        method,
        "2:4",
        calibration={"text": "wiki-sample", "samples": options.samples, "length": options.length},
        evaluation={"text": "wiki-sample", "samples": 4, "length": 512},
        dtype=options.dtype,
        weights=weights,
    )
    return estimate(recipe, model_facts(recipe.model)).memory_bytes


def _model(folder: Path, depth: int, options: argparse.Namespace) -> Path:
    make(folder, _shape(depth, options), seed=depth)
    if options.stored == "bfloat16":
        from safetensors.torch import load_file, save_file

        file = folder / "model.safetensors"
        halved = {name: tensor.bfloat16() for name, tensor in load_file(file).items()}
        file.unlink()
        save_file(halved, file, {"format": "pt"})
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    return folder


def _shape(depth: int, options: argparse.Namespace) -> LlamaShape:
    if options.shape in _SHAPES:
        return CATALOGUE[_SHAPES[options.shape]].shape.model_copy(update={"blocks": depth})
    heads = options.hidden // 64
    return LlamaShape(
        vocab=258,
        hidden=options.hidden,
        blocks=depth,
        mlp=options.hidden * 8 // 3 // 64 * 64,
        heads=heads,
        kv_heads=heads,
        head_dim=64,
        context=2048,
        tied=True,
    )


def _conditions(row: dict, options: argparse.Namespace) -> str:
    shape = _shape(1, options)
    return (
        f"Random Llama shapes, {shape.hidden} wide, vocabulary {shape.vocab:,}, 2:4; "
        f"calibration {options.samples} x {options.length} tokens; "
        f"{row['hardware']}, {options.stored} files, {options.dtype} forwards, {datetime.now(UTC).date()}."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--depths", default="4,8,16,32")
    parser.add_argument("--methods", default="apt,apt-joint")
    parser.add_argument("--shape", default="narrow", choices=["narrow", *_SHAPES])
    parser.add_argument("--hidden", type=int, default=512, help="of the shape narrow")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--weights", default="memory,disk", help="memory, disk or both")
    parser.add_argument("--stored", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
