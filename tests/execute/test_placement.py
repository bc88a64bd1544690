"""Where a model goes by what is free, without any GPU: the devices' sizes are made up, accelerate's map is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from accelerate import dispatch_model

import apt_core
from apt_core import families
from apt_core.base import hardware
from apt_core.base.clock import Clock
from apt_core.base.paths import ASSETS
from apt_core.base.policy import PRIVATE
from apt_core.estimate import placing
from apt_core.models.catalogue.shape import LlamaShape
from apt_core.models.load import loading, placement, skeleton
from apt_core.models.load.placement import Room, Sizes
from apt_core.models.load.weight_store import MemoryStore
from apt_core.passes import runner
from apt_core.passes.entering import Entering
from apt_core.passes.halting import Halting
from assets.make.make_tiny import make

sys.path.insert(0, str(Path(__file__).parent))
import tiny_families

MB = 1_000_000
SHAPE = LlamaShape(
    hidden=256, mlp=704, blocks=8, heads=4, kv_heads=4, head_dim=64, vocab=258, context=256, tied=True
)  # blocks of 3.2 MB in float32


@pytest.fixture(scope="module")
def eight_blocks(tmp_path_factory):
    return make(tmp_path_factory.mktemp("models") / "eight", SHAPE)


@pytest.fixture
def model(eight_blocks):
    return skeleton.without_weights(eight_blocks, torch.float32)


def gpus(*free: float) -> list[Room]:
    return [Room(f"cuda:{number}", int(megabytes * MB)) for number, megabytes in enumerate(free)]


SIZES = Sizes(whole=30 * MB, working=4 * MB)  # 26 MB of weights


def placed(rooms, model, host=1000):
    return placement.placement(SIZES, rooms, host * MB, lambda: model)


def blocks_on(device_map, device):
    """Numbers of the blocks that are whole on a device."""
    return [
        number
        for number in range(SHAPE.blocks)
        if any(f"model.layers.{number}".startswith(name) for name, at in device_map.items() if at == device)
    ]


def test_one_device_is_enough_where_it_has_room(model):
    assert placed(gpus(31), model) == ("whole", "cuda:0", {})
    assert placed(gpus(20, 31), model) == ("whole", "cuda:1", {})
    assert placed([Room("cpu", 31 * MB)], model) == ("whole", "cpu", {})


def test_what_does_not_go_through_the_machines_memory_is_read_straight_to_the_device(model):
    assert placed(gpus(31), model, host=10) == ("spread", "cuda:0", {"": "cuda:0"})


@pytest.mark.parametrize(("free", "devices"), [((24, 24), 2), ((16, 16, 16), 3)])
def test_several_devices_share_the_blocks_in_their_order(free, devices, model):
    found = placed(gpus(*free), model)
    assert found.kind == "spread" and found.device == "cuda:0"
    shares = [blocks_on(found.device_map, f"cuda:{number}") for number in range(devices)]
    assert [number for share in shares for number in share] == list(range(8)) and all(shares)
    block = sum(layer.weights for layer in SHAPE.layers) * 4
    for number, share in enumerate(shares):
        assert len(share) * block <= free[number] * MB - SIZES.working


def test_no_block_is_cut(model):
    found = placed(gpus(24, 24), model)
    assert not any("layers." in name and name.count(".") > 2 for name in found.device_map)


@pytest.mark.parametrize("free", [(20,), (10, 10), (5, 4), (0,)])
def test_without_room_for_all_blocks_they_stay_on_disk(free, model):
    found = placed(gpus(*free), model)
    assert (found.kind, found.device) == ("disk", "cuda:0")


def test_from_disk_the_roomiest_device_computes(model):
    assert placed(gpus(8, 12), model)[:2] == ("disk", "cuda:1")


def test_the_map_is_asked_for_only_when_it_matters(model):
    def never():
        raise AssertionError

    placement.placement(SIZES, gpus(31, 31), 1000 * MB, never)
    placement.placement(SIZES, gpus(20), 1000 * MB, never)


def test_weights_that_several_blocks_share_stay_together(tmp_path):
    folder = tiny_families.write("zamba2", tmp_path)
    shared = skeleton.without_weights(folder, torch.float32)
    assert placement.spread(shared, 0, gpus(0.2, 0.2, 0.2)) is None


def test_a_run_leaves_working_room_by_the_terms_of_the_preflight(eight_blocks, monkeypatch):
    """Two GPUs that hold the weights only together, and then two that also lack what pruning takes."""
    recipe = plan(eight_blocks)
    monkeypatch.setattr(hardware, "gpus", lambda: [("cuda:0", free), ("cuda:1", free)])
    from apt_core.estimate.memory import working_bytes
    from apt_core.models.catalogue.facts import model_facts

    working = working_bytes(recipe, model_facts(recipe.model, policy=PRIVATE), "float32")
    free = working + 20 * MB
    assert placing.place(recipe, eight_blocks, torch.float32, "cuda").kind == "spread"
    free = working + 5 * MB
    assert placing.place(recipe, eight_blocks, torch.float32, "cuda").kind == "disk"
    kept = plan(eight_blocks, weights="memory")
    assert placing.place(kept, eight_blocks, torch.float32, "cuda").kind == "whole"


# ---- a run over a device map, here of nothing but CPUs


def plan(model, method="apt", **more):
    more = {
        "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
        "evaluation": {"text": "wiki-sample", "samples": 3, "length": 64},
        "dtype": "float32",
    } | more
    return apt_core.plan(str(model), method, "2:4", **more)


@pytest.fixture
def spread_over_cpus(monkeypatch):
    """Every run is dispatched by a map, with the hooks of accelerate that move what passes between devices."""

    def load_spread(folder, dtype, device_map):
        model, tokenizer = loading.load(folder, dtype, "cpu")
        return dispatch_model(model, dict(device_map), main_device="cpu", force_hooks=True), tokenizer

    def everywhere(recipe, folder, dtype, device):
        model = skeleton.without_weights(folder, dtype)
        (base, inner), *heads = model.named_children()
        names = [f"{base}.{name}" for name, _ in inner.named_children() if name != "layers"]
        blocks = [f"{base}.layers.{number}" for number in range(len(inner.layers))]
        device_map = dict.fromkeys([*names, *blocks, *(name for name, _ in heads)], "cpu")
        return placement.Placement("spread", "cpu", device_map)

    monkeypatch.setattr(loading, "load_spread", load_spread)
    return everywhere


@pytest.mark.parametrize(
    ("family", "method"),
    [
        ("tiny-random-llama", "apt"),
        ("mamba", "apt-joint"),
        ("mixtral", "apt-joint"),
        pytest.param("tiny-random-llama", "apt-joint", marks=pytest.mark.slow),
        pytest.param("mamba", "apt", marks=pytest.mark.slow),
        pytest.param("mixtral", "apt", marks=pytest.mark.slow),
    ],
)
def test_a_dispatched_model_is_pruned_like_one_that_is_not(family, method, tmp_path, request):
    from safetensors.torch import load_file

    model = ASSETS / "models" / family
    if family in tiny_families.CONFIGS:
        model = tiny_families.write(family, tmp_path / family)
    recipe = plan(model, method, optional_layers=True)
    apart = list(apt_core.run(recipe, tmp_path / "whole"))
    request.getfixturevalue("spread_over_cpus")
    together = list(apt_core.run(recipe, tmp_path / "spread"))
    first, second = (
        load_file(tmp_path / way / "checkpoint" / "model.safetensors") for way in ("whole", "spread")
    )
    for name, weight in first.items():
        assert torch.allclose(weight, second[name], atol=1e-5), name
    figures = [[event.perplexity for event in run if event.kind == "evaluated"] for run in (apart, together)]
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)


def test_states_follow_the_blocks(monkeypatch, tmp_path):
    """Before a block is computed, everything it is given is brought to the device of its weights."""
    asked, moved = [], []

    def device_of(block):
        asked.append(block)
        return torch.device("cpu")

    def on_device(arguments, device):
        moved.append(device)
        return arguments

    monkeypatch.setattr(runner, "device_of", device_of)
    monkeypatch.setattr(runner, "on_device", on_device)
    list(apt_core.run(plan(ASSETS / "models" / "tiny-random-llama"), tmp_path))
    assert len(set(map(id, asked))) == 2, "both blocks, on every way through the model"
    assert moved == [torch.device("cpu")] * len(asked)
    assert len(asked) in (4, 6), "pruning, and the pruned perplexity; the dense one may be remembered"


def test_states_on_another_device_are_moved():
    """The meta device stands for a GPU: a tensor there has no numbers, but it has a place."""
    seen = []

    class Watching(Halting):
        def visit(self, block):
            seen.append(block)
            yield

    arguments = [((torch.zeros(4),), {"pair": (torch.ones(2), None)})]
    store = MemoryStore(tiny_families.model("llama"))
    store.blocks = [torch.nn.Linear(8, 8, device="meta")]
    for embeddings in (None, torch.zeros(2, 4, 8)):
        entering = Entering(torch.zeros(2, 4, 8), arguments, embeddings)
        walk = Watching(entering.states, 2, [], Clock(), compare=True)
        list(runner.Runner(store, entering).run(walk))
        (block,) = seen
        assert walk.states.is_meta and walk.dense.is_meta
        assert block.embeddings is None if embeddings is None else block.embeddings.is_meta
        assert block.arguments[0][0].is_meta and block.arguments[1]["pair"][0].is_meta
        assert block.arguments[1]["pair"][1] is None
        seen.clear()


def test_where_the_blocks_stand_is_said():
    model = tiny_families.model("llama")
    assert placement.spread_sentence(model) is None
    families.decoder_blocks(model)[1].to("meta")
    said = "The model is spread over 2 devices: blocks 0 to 0 on cpu, blocks 1 to 1 on meta."
    assert placement.spread_sentence(model) == said
