"""Large models, for real: time and peak memory of a run on random weights of a 1.1B and of a 7B shape, beside what the
preflight said.

    python -m benchmarks.large --shape llama-1.1b
    python -m benchmarks.large --shape llama-7b --stop-after 2
    python -m benchmarks.large --shape llama-7b --methods wanda

The weights are bfloat16, written block by block, as a file for each; random, so that perplexities mean nothing. With
--stop-after the run is left once so many blocks are pruned, and the time of all blocks is extrapolated from those
behind the first. Prints one Markdown table and appends one JSON record to benchmarks/results/large.jsonl.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.shape import LlamaShape
from assets.make.make_tiny import config_of, write_json, write_tokenizer

if TYPE_CHECKING:
    import torch

    from apt_core.jobs import Prune

RESULTS = Path(__file__).parent / "results" / "large.jsonl"
SHAPES = {
    "tiny": CATALOGUE["tiny-random-llama"].shape,
    "llama-1.1b": CATALOGUE["TinyLlama/TinyLlama-1.1B-Chat-v1.0"].shape,
    "llama-7b": LlamaShape(
        vocab=32000,
        hidden=4096,
        mlp=11008,
        blocks=32,
        heads=32,
        kv_heads=32,
        head_dim=128,
        context=4096,
        tied=False,
    ),
}
_BYTES = 2  # of a bfloat16 number
# Of the stages that the preflight names; the rest follows the last block.
_UP_TO_THE_LAST = ("start", "load", "dense_eval", "forward", "statistics", "gradients", "solve", "check")


def main() -> None:
    options = _options()
    if options.child:
        print(json.dumps(_child(options)))
        return
    with tempfile.TemporaryDirectory(prefix="apt-large-", dir=options.scratch) as temporary:
        folder = make(Path(temporary) / options.shape, SHAPES[options.shape])
        rows = []
        for method in options.methods.split(","):
            child = [
                sys.executable,
                "-m",
                "benchmarks.large",
                *sys.argv[1:],
                "--child",
                str(folder),
                "--methods",
                method,
            ]
            rows.append(
                json.loads(subprocess.run(child, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1])
            )
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "conditions": _conditions(options),
        "rows": rows,
    }
    with RESULTS.open("a") as results:
        results.write(json.dumps(record) + "\n")
    print(table(record))


def make(folder: Path, shape: LlamaShape, seed: int = 0) -> Path:
    """A Llama of this shape in `folder`: random bfloat16 weights, one file for each block, never two in memory."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(seed)

    def normal(rows: int, columns: int, deviation: float) -> torch.Tensor:
        return torch.empty(rows, columns).normal_(0, deviation, generator=random).bfloat16()

    def save(file: str, weights: dict[str, torch.Tensor]) -> None:
        save_file(weights, folder / file, {"format": "pt"})
        where.update(dict.fromkeys(weights, file))

    folder.mkdir(parents=True)
    where: dict[str, str] = {}
    ones = torch.ones(shape.hidden).bfloat16()
    ends = {"model.embed_tokens.weight": normal(shape.vocab, shape.hidden, 0.1), "model.norm.weight": ones}
    if not shape.tied:
        ends["lm_head.weight"] = normal(shape.vocab, shape.hidden, shape.hidden**-0.5)
    save("ends.safetensors", ends)
    del ends
    for block in range(shape.blocks):
        prefix = f"model.layers.{block}"
        weights = {
            f"{prefix}.{layer.name}.weight": normal(
                layer.out_features, layer.in_features, layer.in_features**-0.5
            )
            for layer in shape.layers
        }
        norms = ("input_layernorm", "post_attention_layernorm")
        save(
            f"block-{block:03}.safetensors",
            weights | {f"{prefix}.{norm}.weight": ones.clone() for norm in norms},
        )
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": where})
    write_json(folder / "config.json", config_of(shape) | {"dtype": "bfloat16"})
    write_tokenizer(folder, shape.context)
    return folder


def table(record: dict) -> str:
    """The Markdown table of one record."""
    lines = [
        "| method | weights, GB | peak, GB | preflight said, GB | seconds a block | to the last block, s "
        "| preflight said, s | whole run, s | preflight said, s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in record["rows"]:
        weights, peak, said = (f"{row[name] / 1e9:.2f}" for name in ("weights", "peak", "said_bytes"))
        rest = "" if row["whole"] else f" ({row['done']} of {row['blocks']} blocks, the rest at their pace)"
        whole = f"{row['whole']:.0f}" if row["whole"] else "-"
        lines.append(
            f"| {row['method']} | {weights} | {peak} | {said} | {row['a_block']:.1f} | {row['to_last']:.0f}{rest} "
            f"| {row['said_to_last']:.0f} | {whole} | {row['said_whole']:.0f} |"
        )
    return "\n".join([*lines, "", record["conditions"]])


def _child(options: argparse.Namespace) -> dict:
    """One run in a process of its own; its figures."""
    import apt_core
    from apt_core.base.hardware import peak_rss_bytes
    from apt_core.base.policy import HostPolicy
    from apt_core.estimate.preflight import estimate
    from apt_core.models.catalogue.facts import model_facts

    job, blocks = _job(options), SHAPES[options.shape].blocks
    said = estimate(job, model_facts(job.model, HostPolicy.from_environment()))
    begun, ends, finished = time.monotonic(), {}, None
    events = apt_core.run(job, options.child / "run")
    for event in events:
        if event.kind == "layer_pruned":
            if options.stop_after is not None and event.block >= options.stop_after:
                break
            ends[event.block] = time.monotonic() - begun
        if event.kind == "finished":
            finished = time.monotonic() - begun
    events.close()
    done = len(ends)
    # From the end of the first block, so that what happens once before it is not counted for every block.
    a_block = (ends[done - 1] - ends[0]) / (done - 1)
    return {
        "method": options.methods,
        "weights": SHAPES[options.shape].parameters * _BYTES,
        "weights_in": said.weights_in,
        "peak": peak_rss_bytes(),
        "said_bytes": said.memory_bytes,
        "blocks": blocks,
        "done": done,
        "a_block": a_block,
        "to_last": ends[0] + a_block * (blocks - 1),
        "said_to_last": sum(said.parts[stage] for stage in _UP_TO_THE_LAST if stage in said.parts),
        "whole": finished,
        "said_whole": said.seconds,
        "parts_said": said.parts,
    }


def _job(options: argparse.Namespace) -> Prune:
    from apt_core import plan

    return plan(
        str(options.child),
        options.methods,
        options.pattern,
        calibration={"text": "wiki-sample", "samples": options.samples, "length": options.length},
        evaluation={"text": "wiki-sample", "samples": 4, "length": 512},
        dtype=options.dtype,
    )


def _conditions(options: argparse.Namespace) -> str:
    from importlib.metadata import version

    from apt_core.base.hardware import hardware_name

    shape = SHAPES[options.shape]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    return (
        f"Random weights of the shape {options.shape}: {shape.blocks} blocks, {shape.hidden} wide, MLP {shape.mlp}, "
        f"vocabulary {shape.vocab:,}; {options.pattern}, calibration {options.samples} x {options.length} tokens of "
        f"wiki-sample, evaluation 4 x 512; {hardware_name('cpu')}, torch {version('torch')}; one run each; "
        f"commit {commit}, {datetime.now(UTC):%d %b %Y}."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="llama-1.1b", choices=SHAPES)
    parser.add_argument("--methods", default="apt")
    parser.add_argument("--pattern", default="2:4")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--stop-after", type=int, help="blocks, at least 2")
    parser.add_argument("--scratch", type=Path, help="where the weights are written (llama-7b: 27 GB)")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stop_after is not None and options.stop_after < 2:
        parser.error("--stop-after must be at least 2: the first block tells nothing of the others")
    return options


if __name__ == "__main__":
    main()
