"""Which walk has room, what components hold, and that no projection is forgotten."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from apt_core.base.cost import Cost
from apt_core.estimate.memory import peak_bytes, walk_for
from apt_core.jobs import Evaluation, make_job
from apt_core.methods.component import Mask
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.catalogue.facts import ModelFacts, facts_from, known_facts
from apt_core.models.catalogue.shape import LlamaShape
from apt_core.models.checkpoint.headers import TensorFacts

GB = 1_000_000_000
SMOL = known_facts(CATALOGUE["smollm2-135m"])


def job(method: object = "apt", samples: int = 32, length: int = 512):
    calibration = {"samples": samples, "length": length}
    return make_job("prune", model={"id": "x/y"}, method=method, calibration=calibration)


def seven_billion() -> ModelFacts:
    shape = LlamaShape(
        hidden=4096, mlp=11008, blocks=32, heads=32, kv_heads=32, head_dim=128, vocab=32000, context=4096, tied=False
    )  # fmt: skip
    return ModelFacts(
        id="big", title="Big", source="Hub", parameters=shape.parameters, prunable=shape.prunable, blocks=32,
        hidden=4096, vocab=32000, context=4096, layers=shape.layers, bytes_on_disk=2 * shape.parameters, cached=True,
    )  # fmt: skip


def test_two_passes_hold_the_states_where_halted_ones_hold_a_block():
    """7B, 128 windows of 2048 tokens in bfloat16: 2.1 GB of states against three of them and the layer's input."""
    large = job(samples=128, length=2048)
    halting, two_pass = (
        peak_bytes(large, seven_billion(), "bfloat16", "disk", walk) for walk in ("halting", "two-pass")
    )
    states = 128 * 2048 * 4096 * 2
    assert halting - two_pass == pytest.approx(2 * states + 128 * 2048 * 11008 * 2, rel=0.15)


def test_the_walk_goes_by_what_is_free():
    large, facts = job(samples=128, length=2048), seven_billion()
    halting = peak_bytes(large, facts, "bfloat16", "disk", "halting")
    assert walk_for(large, facts, "bfloat16", "disk", halting) == "halting"
    assert walk_for(large, facts, "bfloat16", "disk", halting - 1) == "two-pass"
    assert walk_for(job(samples=1, length=16), facts, "bfloat16", "disk", 0) == "halting", (
        "two passes hold more"
    )


def test_what_a_component_says_it_holds_is_counted():
    class Hungry(Mask):
        name = "hungry-of-a-test"

        def cost(self, shape, tokens, pattern):
            return Cost(peak=5 * GB)

    plain = job("magnitude")
    hungry = plain.model_copy(update={"method": plain.method.model_copy(update={"mask": Hungry()})})
    assert 5 * GB < peak_bytes(hungry, SMOL, "float32", "memory") < 7 * GB
    assert peak_bytes(plain, SMOL, "float32", "memory") < 2 * GB


def opt(fc2: int = 2048) -> ModelFacts:
    shapes = {f"self_attn.{name}": (512, 512) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
    shapes |= {"fc1": (fc2, 512), "fc2": (512, fc2)}
    tensors = {
        f"model.decoder.layers.{block}.{name}.weight": TensorFacts(shape=shape, dtype="F16")
        for block in range(12)
        for name, shape in shapes.items()
    } | {"model.decoder.embed_tokens.weight": TensorFacts(shape=(50272, 512), dtype="F16")}
    config = {"model_type": "opt", "hidden_size": 512, "vocab_size": 50272}
    return facts_from(config, tensors, id="opt", title="OPT", source="local folder", cached=True)


def test_what_waits_in_front_of_opts_second_feed_forward_layer_is_counted():
    """Three hidden states and an input of 2048, not of 512: `fc2` shares its input with nobody."""
    long = job(samples=256, length=1024)
    assert opt().layers[-1].input == "fc2" != opt().layers[-2].input
    grown = peak_bytes(long, opt(4096), "float32", "disk") - peak_bytes(long, opt(2048), "float32", "disk")
    assert grown >= 256 * 1024 * 2048 * 4


def test_a_job_that_only_measures_holds_no_calibration():
    asked = SimpleNamespace(evaluation=(Evaluation(),), dtype="auto", weights="auto", kind="evaluate")
    said = peak_bytes(asked, SMOL, "bfloat16", "by block")
    assert 0.4 * GB < said < peak_bytes(job("alps"), SMOL, "bfloat16", "by block")
