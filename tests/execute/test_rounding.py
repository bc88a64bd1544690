"""A rounded evaluation is that of the rounded model, in all three stores, and touches nothing."""

from __future__ import annotations

import math

import pytest
import torch
from accelerate import dispatch_model

import apt_core
from apt_core import families
from apt_core.base.paths import ASSETS, cache_dir
from apt_core.execute.rounding import RoundedStore
from apt_core.jobs import make_job
from apt_core.jobs.parts import Rounding
from apt_core.maths.round_to_nearest import round_to_nearest
from apt_core.measure.perplexity import perplexity_events
from apt_core.models.load.loading import load, load_by_block
from apt_core.models.load.spread_store import SpreadStore
from apt_core.models.load.weight_store import MemoryStore
from apt_core.texts.sources import read
from apt_core.texts.windows import token_windows
from tests.families import tiny_families

TINY = ASSETS / "models" / "tiny-llama"
WINDOWS = {"evaluation": [{"text": "wiki-sample", "samples": 2, "length": 48}], "device": "cpu"}


@pytest.fixture(autouse=True)
def own_cache(fresh_cache):
    return fresh_cache


def tokens():
    return torch.randint(0, 250, (2, 48), generator=torch.Generator().manual_seed(1))


def last(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@torch.no_grad()
def by_hand(folder, bits):
    """Round every matrix of every block in place, then ask transformers itself."""
    model = load(folder, torch.float32, "cpu")[0]
    for layer in families.all_layers(families.decoder_blocks(model)):
        layer.write_(round_to_nearest(layer.matrix.contiguous(), bits, 64))
    losses = [float(model(window[None], labels=window[None]).loss) for window in tokens()]
    return math.exp(sum(losses) / len(losses))


def store_of(kind, folder):
    if kind == "disk":
        model, _, store = load_by_block(folder, torch.float32, "cpu")
        return model, store
    model, _ = load(folder, torch.float32, "cpu")
    if kind == "spread":
        model = dispatch_model(model, {"": "cpu"}, main_device="cpu", force_hooks=True)
        return model, SpreadStore(model)
    return model, MemoryStore(model)


@pytest.mark.parametrize("bits", ["4", "8"])
@pytest.mark.parametrize("kind", ["memory", "spread", "disk"])
def test_every_store_evaluates_the_rounded_model(kind, bits):
    model, store = store_of(kind, TINY)
    rounded = RoundedStore(store, Rounding(bits=bits, group=64))
    found = last(perplexity_events(model, tokens(), "model", "t", rounded))
    assert found.perplexity == pytest.approx(by_hand(TINY, int(bits)), rel=1e-4)
    again = last(perplexity_events(model, tokens(), "model", "t", store))
    dense, _ = load(TINY, torch.float32, "cpu")
    assert again.perplexity == last(perplexity_events(dense, tokens(), "model", "t")).perplexity


@pytest.mark.parametrize("family", ["gpt2", "mixtral", "zamba2", "mamba"])
def test_transposed_fused_and_shared_matrices_are_rounded_too(family, tmp_path):
    folder = tiny_families.write(family, tmp_path / "m")
    model, store = store_of("memory", folder)
    rounded = RoundedStore(store, Rounding(bits="4", group=64))
    found = last(perplexity_events(model, tokens(), "model", "t", rounded))
    assert found.perplexity == pytest.approx(by_hand(folder, 4), rel=1e-4)


def evaluated(folder, bits, **more):
    asked = {"model": {"id": str(folder)}, "rounding": {"bits": bits}, **WINDOWS} | more
    job = make_job("evaluate", **asked)
    events = list(apt_core.run(job))
    return {event.kind: event for event in events}


def test_a_job_names_its_size_and_keeps_nothing_for_dense_runs():
    before = {file.name: file.read_bytes() for file in TINY.iterdir()}
    four, eight = evaluated(TINY, "4"), evaluated(TINY, "8")
    assert not (cache_dir() / "dense").exists()  # no rounded perplexity passes for a dense one
    assert "rounded" not in evaluated(TINY, "none")
    rounded = four["rounded"]
    assert (rounded.bits, rounded.group, rounded.bits_per_weight) == (4, 128, 4.125)
    assert rounded.weights == four["model_loaded"].prunable
    assert eight["rounded"].n_bytes - rounded.n_bytes == rounded.weights // 2
    dense = evaluated(TINY, "none")["evaluated"].perplexity
    assert abs(eight["evaluated"].perplexity / dense - 1) < abs(four["evaluated"].perplexity / dense - 1)
    near, far = eight["diverged"], four["diverged"]
    assert 0 < near.kl < far.kl and near.agreement > far.agreement and (near.windows, near.length) == (2, 48)
    assert "diverged" not in evaluated(TINY, "none")
    assert {file.name: file.read_bytes() for file in TINY.iterdir()} == before


def test_what_is_pruned_stays_pruned_and_is_smaller_packed(tmp_path):
    apt_core.prune(
        str(TINY), "magnitude", "0.5", out=tmp_path / "checkpoint", device="cpu",
        calibration={"text": "wiki-sample", "samples": 1, "length": 32},
        evaluation={"text": "wiki-sample", "samples": 1, "length": 32},
    )  # fmt: skip
    rounded = evaluated(tmp_path / "checkpoint", "8")["rounded"]
    saved = rounded.n_bytes - rounded.packed_bytes
    # half of the codes gone, for one bit a weight
    assert saved == pytest.approx(rounded.weights * 3 / 8, rel=1e-3)


def test_the_job_says_so_everywhere():
    job = make_job("evaluate", model={"id": "tiny-llama"}, rounding={"bits": "4"})
    assert job.label.startswith("Perplexity at 4 bits") and job.request(str)["rounding"]["group"] == 128
    assert make_job("evaluate", model={"id": "tiny-llama"}).request(str)["rounding"] is None


@torch.no_grad()
def test_how_far_a_rounded_model_is_from_the_dense_one_is_what_transformers_says_of_both():
    """KL and agreement against the whole models' own logits, on the windows of the job."""
    found = evaluated(TINY, "4", rounding={"bits": "4", "group": 64}, dtype="float32")["diverged"]
    models = [load(TINY, torch.float32, "cpu")[0] for _ in range(2)]
    for layer in families.all_layers(families.decoder_blocks(models[1])):
        layer.write_(round_to_nearest(layer.matrix.contiguous(), 4, 64))
    text, _ = read("wiki-sample", "evaluation", shared=False)
    windows = token_windows(load(TINY, torch.float32, "cpu")[1], text, 48, 2)
    dense, rounded = (model(windows).logits[:, :-1].log_softmax(dim=-1) for model in models)
    kl = (dense.exp() * (dense - rounded)).sum(dim=-1).mean()
    same = (dense.argmax(dim=-1) == rounded.argmax(dim=-1)).float().mean()
    assert found.kl == pytest.approx(float(kl), rel=1e-3) and found.agreement == pytest.approx(float(same))
