"""A package that somebody installs adds a mask or a family; page, command line, estimate and runs have it without
another line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = '''
"""A mask that removes weights at random."""

from typing import ClassVar

from pydantic import Field

from apt_core.methods.base import Mask, MaskedWeight


class RandomMask(Mask):
    """Drawn anew for every layer."""

    name: ClassVar[str] = "random"
    title: ClassVar[str] = "Random"
    source: ClassVar[str] = "nobody"
    summary: ClassVar[str] = "Weights go at random."

    draw: int = Field(default=3, ge=0, le=9, title="Draw", description="The seed")

    def search(self, problem):
        import torch

        from apt_core.maths.pattern import choose_in_matrix

        scores = torch.rand(problem.weight.shape, generator=torch.Generator().manual_seed(self.draw))
        return MaskedWeight.untouched(problem.weight, choose_in_matrix(scores, problem.pattern))
'''
BROKEN = "raise RuntimeError('a package that does not load')\n"
FAMILY = '''
"""StableLM, of which the gates stay dense."""

from apt_core.families import Family

STABLELM = Family(
    title="StableLM",
    model_types=("stablelm", "llama"),
    projections=(
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj",
    ),
    never=("mlp.gate_proj",),
)
NO_FAMILY = "StableLM"
'''
LAYERS = """
import json
from transformers import AutoModelForCausalLM, StableLmConfig
from apt_core import families

config = StableLmConfig(
    vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=2,
)
model = AutoModelForCausalLM.from_config(config)
layers = families.prunable_layers(families.decoder_blocks(model)[0], 0)
print(json.dumps({
    "layers": [layer.name for layer in layers],
    "guessed": families.what_was_guessed(model, layers),
    "llama": families.family_of_type("llama").title,
}))
"""
ESTIMATE = """
import json
from apt_core.estimate.preflight import estimate
from apt_core.jobs import ModelRef, make_job
from apt_core.models.catalogue.facts import model_facts

method = {"name": "wanda", "mask": {"name": "random", "draw": 5}}
job = make_job("prune", model={"id": "tiny-random-llama"}, method=method)
needs = estimate(job, model_facts(ModelRef(id="tiny-random-llama")))
print(json.dumps([needs.refusal, needs.seconds, needs.memory_bytes]))
"""
ON_THE_PAGE = """
import json, sys
import gradio as gr
from apt_core.ui.forms import options
from apt_core.ui.views import methods_page

with gr.Blocks():
    controls, keys = options.draw_controls()
mask = controls[keys.index("mask")]
draw = controls[keys.index("mask.random.draw")]
print(json.dumps({
    "choices": [list(choice) for choice in mask.choices],
    "draw": [draw.value, draw.label, draw.info],
    "css": ".options-mask-random" in options.visibility_css(),
    "tab": "Weights go at random." in str(methods_page.methods_page()),
    "torch": "torch" in sys.modules,
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """As `pip install --target` leaves packages there: one that adds a mask, one that is broken."""
    target = tmp_path_factory.mktemp("installed")
    for package, source, points in (
        ("random_mask", MODULE, "[apt_core.components]\nrandom_mask = random_mask\n"),
        ("broken_mask", BROKEN, "[apt_core.components]\nbroken_mask = broken_mask\n"),
        ("stable", FAMILY, "[apt_core.families]\nstablelm = stable:STABLELM\nnothing = stable:NO_FAMILY\n"),
        ("broken_family", BROKEN, "[apt_core.families]\nbroken = broken_family:FAMILY\n"),
    ):
        (target / f"{package}.py").write_text(source)
        info = target / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
    return target


@pytest.fixture
def python(installed, tmp_path):
    """Runs Python where the packages are installed; returns what it wrote."""

    def run(*arguments: str) -> str:
        paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{installed}", "APT_DATA": str(tmp_path / "data")}
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | paths,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_page_offers_it_with_its_options(python):
    said = json.loads(python("-c", ON_THE_PAGE).splitlines()[-1])
    assert ["Random", "random"] in said["choices"]
    assert said["draw"] == [3, "Draw", "The seed (0 to 9)"]
    assert said["css"] and said["tab"] and not said["torch"]


def test_methods_lists_it(python):
    methods = json.loads(python("-m", "apt_core", "methods", "--json"))
    masks = methods[0]["options"]["$defs"]["Mask"]["oneOf"]
    own = next(mask for mask in masks if mask["properties"]["name"] == {"const": "random"})
    assert own["properties"]["draw"]["default"] == 3 and own["description"] == "Weights go at random."
    assert "--set mask=random  Weights go at random." in python("-m", "apt_core", "methods")


def test_it_can_be_imported_before_the_library_looks_for_it(python):
    code = "import random_mask; from apt_core.methods import COMPONENTS; print(list(COMPONENTS['mask']))"
    assert "'random'" in python("-c", code)


def test_the_estimate_counts_it(python):
    refusal, seconds, memory = json.loads(python("-c", ESTIMATE).splitlines()[-1])
    assert refusal is None and seconds > 0 and memory > 0


def test_a_family_from_outside_says_what_is_pruned_and_replaces_none_of_ours(python):
    said = json.loads(python("-c", LAYERS).splitlines()[-1])
    assert said["layers"] == [
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj",
    ]  # fmt: skip
    assert said["guessed"] is None and said["llama"] == "Llama"


@pytest.mark.slow
def test_a_run_uses_it_and_is_stored_under_its_name(python, tmp_path):
    small = ["--samples", "4", "--length", "64", "--eval-samples", "3", "--eval-length", "64"]
    texts = ["--calibration", "wiki-sample", "--eval", "wiki-sample", "--dtype", "float32"]
    chosen = ["--method", "wanda", "--set", "mask=random", "--set", "mask.draw=5", "--sparsity", "0.5"]
    out = tmp_path / "out"
    said = python(
        *("-m", "apt_core", "prune", "--model", "tiny-random-llama", "--json", "--out", str(out)),
        *(*small, *texts, *chosen),
    )
    run = json.loads(said)
    assert run["status"] == "finished" and run["sparsity"] == 0.5
    assert run["options"]["mask"] == {"name": "random", "draw": 5}
    (stored,) = json.loads(python("-m", "apt_core", "runs", "--json"))
    assert stored["options"] == run["options"]
