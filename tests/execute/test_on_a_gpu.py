"""Everything a GPU does, on a stand-in (`tests/standin.py`): what runs there equals what runs on the CPU."""

from __future__ import annotations

import pytest
import standin
import torch

import apt_core
from apt_core.base.policy import PRIVATE
from apt_core.execute import run, speeds
from apt_core.execute.context import Context
from apt_core.jobs import make_job
from apt_core.measure.inside.questions import BlocksAloneQuestion, DepthQuestion, LayerQuestion
from apt_core.methods import METHODS, STRUCTURED
from apt_core.models.load.placement import Placement
from apt_core.runs import inspector
from tests.execute import recoveries, searches

WINDOWS = {"text": "wiki-sample", "samples": 2, "length": 32}
TEXTS = {"calibration": WINDOWS, "evaluation": WINDOWS | {"skip": 60}}
FLOAT32 = {"dtype": "float32"}


@pytest.fixture(autouse=True)
def short(monkeypatch, fresh_cache):
    """Nothing is remembered from the CPU's run, and models are timed for a moment."""
    monkeypatch.setattr(speeds, "_TURNS", 1)
    monkeypatch.setattr(speeds, "_PREFILL", 8)
    monkeypatch.setattr(speeds, "_DECODE", 2)


# ---- the stand-in refuses what CUDA refuses


def test_devices_do_not_mix(cuda):
    there, here = torch.ones(2, 3, device="cuda"), torch.ones(2, 3)
    assert there.device == torch.device("cuda:0") and (there * 2).device == there.device
    assert here.to(there).is_cuda and not there.cpu().is_cuda and (there * torch.tensor(2.0)).is_cuda
    for wrong in (
        lambda: there + here,
        lambda: here.add_(there),
        lambda: torch.cat([there, here]),
        lambda: here[there.long()],
        lambda: there + torch.arange(3),
        lambda: torch.zeros(()).add_(there.sum()),
        lambda: there + there.to("cuda:1"),
        lambda: torch.ones(1, device="cuda:2"),
        lambda: torch.rand(3, device="cuda", generator=torch.Generator()),
        there.numpy,
    ):
        with pytest.raises((RuntimeError, TypeError)):
            wrong()


def test_gradients_come_back_to_their_device(cuda):
    weight = torch.ones(3, device="cuda", requires_grad=True)
    (weight.to("cuda:1") * 2).sum().backward()
    assert weight.grad.device == weight.device


def test_kernels_waits_and_bytes_are_counted():
    with standin.gpus(1, limit=5000) as cuda:
        ones = torch.ones(1000, device="cuda")
        assert (cuda.kernels.total(), cuda.waits.total()) == (1, 0)
        float(ones.sum())
        ones[ones > 2]
        assert cuda.waits == {"_local_scalar_dense": 1, "mask as index": 1}
        assert torch.ones(8).pin_memory().to("cuda", non_blocking=True).is_cuda and "copy" not in cuda.waits
        with pytest.raises(torch.OutOfMemoryError):
            ones.clone()
        del ones
        assert torch.ones(1000, device="cuda").is_cuda


# ---- the same results


def perplexities(model, method, pattern, options=None, **more):
    resources = FLOAT32 | more
    record = apt_core.prune(model, method, pattern, options=options, resources=resources, **TEXTS)
    return record.dense.perplexity, record.pruned.perplexity


CASES = [(method, "2:4", {}) for method in METHODS] + [
    ("apt", "0.5", {}),
    ("apt-joint", "0.5", {}),
    ("wanda", "0.5", {"refinement": "dsnot"}),
    ("wanda", "0.5", {"allocation": "alphapruning"}),
    ("wanda", "0.5", {"allocation": "owl"}),
    ("apt-joint", "2:4", {"allocation": "loss"}),
    *((method, "0.3", {}) for method in STRUCTURED),
]


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-mamba"])
@pytest.mark.parametrize(("method", "pattern", "options"), CASES)
def test_a_run_gives_what_it_gives_on_the_cpu(method, pattern, options, model, request, fresh_cache):
    if (method, model) == ("llm-pruner", "tiny-mamba"):
        pytest.skip("it has no groups")
    on_the_cpu = perplexities(model, method, pattern, options, device="cpu")
    cuda = request.getfixturevalue("cuda")
    assert perplexities(model, method, pattern, options, device="cuda") == on_the_cpu
    assert cuda.kernels.total() > 1000


@pytest.mark.parametrize("where", [{"weights": "disk"}, {"walk": "two-pass"}])
def test_other_walks_give_what_they_give_on_the_cpu(where, request):
    on_the_cpu = perplexities("tiny-llama", "apt", "2:4", device="cpu", **where)
    request.getfixturevalue("cuda")
    assert perplexities("tiny-llama", "apt", "2:4", device="cuda", **where) == on_the_cpu


# ---- where things are


@pytest.mark.parametrize("kind", ["whole", "spread"])
def test_a_model_on_the_second_gpu_is_timed_and_named_there(kind, cuda, tmp_path):
    job = apt_core.plan("tiny-llama", "wanda", "2:4", resources=FLOAT32 | {"device": "cuda"}, **TEXTS)
    placed = Placement(kind, "cuda:1", {"": "cuda:1"} if kind == "spread" else {})
    context = Context.of(job, tmp_path, PRIVATE, place=lambda *_: placed)
    events = list(run(job, context))
    loaded = next(event for event in events if event.kind == "model_loaded")
    assert loaded.device == "cuda:1" and loaded.hardware.startswith("Stand-in 1 with ")
    assert {device for name, device in cuda.asked if name == "synchronize"} == {"cuda:1"}
    assert cuda.peak[0] == 0, "nothing lies on the first one"
    assert len([event for event in events if event.kind == "measured" and event.prefill]) == 2


def test_looks_into_a_run_on_a_gpu(cuda, monkeypatch, tmp_path):
    store = recoveries.here(monkeypatch, tmp_path)
    record = recoveries.pruned(store, model="tiny-llama")
    assert record.model.device == "cuda:0"
    for question in (
        LayerQuestion(run=record.id, block=1, layer="mlp.down_proj", inputs=True),
        DepthQuestion(run=record.id, windows=2, length=32),
        BlocksAloneQuestion(run=record.id, windows=2, length=32),
    ):
        *_, answer = inspector.replies(question.model_dump_json(), store, PRIVATE)
        assert getattr(answer, "reason", None) is None, answer
    assert apt_core.allocation("tiny-llama", "alphapruning", 0.7).layers


@pytest.mark.parametrize("method", ["spp", "lora", "distill"])
def test_recoveries_on_a_gpu(method, cuda, monkeypatch, tmp_path):
    store = recoveries.here(monkeypatch, tmp_path)
    parent = recoveries.pruned(store, model="tiny-llama")
    job = recoveries.recovery(parent.id, method, steps=2)
    job = make_job("recover", **job.model_dump(exclude={"kind", "resources"}), device="cuda")
    record = recoveries.done(store, job)
    assert record.status == "finished", record.failure
    assert record.model.device == "cuda:0" and record.made.perplexity < record.before.perplexity


def test_a_search_on_a_gpu_finds_what_it_finds_on_the_cpu(request, tmp_path):
    def found(device):
        job = searches.search(generations=1)
        resources = job.resources.model_copy(update={"device": device})
        return searches.record(job.model_copy(update={"resources": resources}), tmp_path / device)

    on_the_cpu = found("cpu").pruned.perplexity
    request.getfixturevalue("cuda")
    assert found("cuda").pruned.perplexity == on_the_cpu
