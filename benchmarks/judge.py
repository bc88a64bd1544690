"""One evaluator for everybody: the product's own command line."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks.texts import as_file


def perplexity(model: str, text: str, options: argparse.Namespace) -> float:
    """Of a folder, a model's name or a run, by the product's own evaluator."""
    command = [
        sys.executable, "-m", "apt_core", "evaluate", "--json", "--model", model, "--eval", as_file(text),
        "--eval-samples", str(options.eval_samples), "--eval-length", str(options.eval_length),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)["perplexity"]
