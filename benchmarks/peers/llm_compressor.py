"""Prune with llm-compressor. Runs inside its own virtual environment; imports nothing of this project.

    python llm_compressor.py JOB.json

JOB: {"model": folder, "windows": safetensors with "windows" [n, length], "modifier": "SparseGPT" | "Wanda",
"sparsity": 0.5, "structure": "0:0" | "2:4", "output": folder}. Prints one JSON line at the end.

`targets=["Linear"]` prunes nothing and says nothing (0.14), so the decoder layers are named and the sparsity
that comes out is measured here.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from time import perf_counter


def main() -> None:
    import torch
    from datasets import Dataset
    from llmcompressor import oneshot
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    job = json.loads(Path(sys.argv[1]).read_text())
    windows = load_file(job["windows"])["windows"]
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype="auto")
    rows = [{"input_ids": row, "attention_mask": [1] * len(row)} for row in windows.tolist()]
    start = perf_counter()
    oneshot(
        model=model,
        dataset=Dataset.from_list(rows),
        recipe=_modifier(job, type(model.model.layers[0]).__name__),
        num_calibration_samples=len(rows),
        max_seq_length=windows.shape[1],
        shuffle_calibration_samples=False,
        pipeline="sequential",
    )
    seconds = perf_counter() - start
    model.save_pretrained(job["output"], save_compressed=False)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "sparsity": _sparsity(model),
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "dtype": str(model.dtype).removeprefix("torch."),
                "torch": torch.__version__,
                "llmcompressor": _version(),
            }
        )
    )


def _modifier(job: dict, layer: str):
    from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier

    kind = {"SparseGPT": SparseGPTModifier, "Wanda": WandaPruningModifier}[job["modifier"]]
    return kind(
        sparsity=job["sparsity"], mask_structure=job["structure"], targets=[layer], ignore=["lm_head"]
    )


def _sparsity(model) -> float:
    from torch import nn

    zeros = total = 0
    for module in model.model.layers.modules():
        if isinstance(module, nn.Linear):
            zeros += int((module.weight == 0).sum())
            total += module.weight.numel()
    return zeros / total


def _version() -> str:
    from importlib.metadata import version

    return version("llmcompressor")


if __name__ == "__main__":
    main()
