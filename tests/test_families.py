"""Every family and every method, through the whole pipeline, on tiny random models that this file writes."""

from __future__ import annotations

import json

import pytest
import tiny_families
import torch
from transformers import AutoModelForCausalLM

import apt_core
from apt_core import families, perplexity, pipeline
from apt_core.errors import BadPattern, NotAModel
from apt_core.maths.pattern import is_exact, removed_count
from apt_core.methods import METHODS
from apt_core.models.facts import model_facts
from apt_core.paths import ASSETS
from apt_core.preflight import estimate
from apt_core.recipe import ModelRef
from apt_core.streams import HiddenStates

ALL = list(tiny_families.CONFIGS)
EVERYWHERE = ("apt", "sparsegpt", "wanda", "magnitude")
ON_SOME = ("llama", "mamba", "mixtral")
ROUTED = ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "jamba", "granitemoehybrid", "nemotron_h")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The folder of a family's tiny model, written once."""
    written = {}

    def of(family: str):
        if family not in written:
            written[family] = tiny_families.write(family, tmp_path_factory.mktemp("models") / family)
        return written[family]

    return of


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """Two short texts: nothing here needs 300 kB of prose."""
    place = tmp_path_factory.mktemp("texts")
    prose = (ASSETS / "texts" / "wiki-sample.txt").read_text(encoding="utf-8")
    for name, part in (("calibration", prose[:2000]), ("evaluation", prose[2000:4000])):
        (place / f"{name}.txt").write_text(part, encoding="utf-8")
    return {
        "calibration": {"text": str(place / "calibration.txt"), "samples": 6, "length": 32},
        "evaluation": {"text": str(place / "evaluation.txt"), "samples": 2, "length": 32},
    }


@pytest.fixture
def pruned_by(folder, texts, tmp_path, monkeypatch):
    """Run the pipeline; give back its events and the model as it is in memory at the end."""
    loaded = []

    def load(*args):
        found = yield from load_as_always(*args)
        loaded.append(found[0])
        return found

    load_as_always = pipeline._load
    monkeypatch.setattr(pipeline, "_load", load)
    monkeypatch.setattr(pipeline, "decoding_speed", lambda model: 1.0)  # a second each; tried below

    def run(family: str, method: str, pattern: str, **more):
        wanted = {"dtype": "float32"} | texts | more
        recipe = apt_core.plan(str(folder(family)), method, pattern, **wanted)
        return list(pipeline.run(recipe, tmp_path)), loaded[-1], recipe

    return run


def blocks_of(model):
    return families.decoder_blocks(model)


def storage(tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def check(events, model, recipe, dense, checkpoint):
    """What must hold after any run."""
    again = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    tokens = torch.arange(40).view(2, 20)
    with torch.no_grad():
        expected = model(input_ids=tokens, use_cache=False).logits
        assert torch.isfinite(expected).all()
        assert torch.equal(again(input_ids=tokens, use_cache=False).logits, expected)

    reported = [(event.block, event.layer) for event in events if event.kind == "layer_pruned"]
    unreached = {event.layer for event in events if event.kind == "warned" and "left dense" in event.message}
    prunable = families.all_layers(blocks_of(again))
    assert reported == [
        (layer.block, layer.name)
        for layer in prunable
        if f"block {layer.block} {layer.name}" not in unreached
    ]
    told = {(event.block, event.layer): event.removed for event in events if event.kind == "layer_pruned"}
    own_budgets = recipe.method.budget_reach(recipe.pattern) > 0
    for layer in prunable:
        if (layer.block, layer.name) in reported:
            k = removed_count(layer.matrix.numel(), recipe.pattern.sparsity)
            assert own_budgets or is_exact(layer.matrix, recipe.pattern), layer.name
            assert own_budgets or told[layer.block, layer.name] == k, layer.name
            assert int((layer.matrix == 0).sum()) == told[layer.block, layer.name], layer.name
    assert all(event.pattern_valid for event in events if event.kind == "layer_pruned")

    touched = {storage(layer.matrix) for layer in prunable}
    for (name, before), (_, after) in zip(dense.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(before, after) == (storage(after) not in touched), name


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
@pytest.mark.parametrize("method", EVERYWHERE)
@pytest.mark.parametrize("family", ALL)
def test_every_family_is_pruned_exactly_and_loads_again(family, method, pattern, pruned_by, tmp_path):
    events, model, recipe = pruned_by(family, method, pattern)
    check(events, model, recipe, tiny_families.model(family), tmp_path / "checkpoint")


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
@pytest.mark.parametrize("method", [name for name in METHODS if name not in EVERYWHERE])
@pytest.mark.parametrize("family", ON_SOME)
def test_the_other_methods_on_attention_state_space_and_experts(family, method, pattern, pruned_by, tmp_path):
    events, model, recipe = pruned_by(family, method, pattern)
    check(events, model, recipe, tiny_families.model(family), tmp_path / "checkpoint")


@pytest.mark.parametrize("family", ["mamba", "mixtral", "jamba", "zamba2", "nemotron_h"])
def test_forwards_in_bfloat16_prune_as_exactly(family, pruned_by):
    events, model, recipe = pruned_by(family, "apt", "2:4", dtype="bfloat16")
    assert all(event.pattern_valid for event in events if event.kind == "layer_pruned")
    assert events[-1].kind == "finished" and events[-1].sparsity == 0.5
    for layer in families.all_layers(blocks_of(model)):
        assert layer.matrix.dtype == torch.bfloat16 and is_exact(layer.matrix, recipe.pattern), layer.name


@pytest.mark.parametrize("family", ALL)
def test_a_family_names_every_linear_map_of_its_blocks(family):
    for block in blocks_of(tiny_families.model(family)):
        known = families.family_of(block)
        kept = [layer.name for layer in families.prunable_layers(block, 0)]
        for layer in families.linear_maps(block, 0):
            assert (layer.name in kept) != known.keeps_dense(layer.name), layer.name


@pytest.mark.parametrize("family", ALL)
def test_blocks_one_by_one_give_what_the_model_gives(family):
    """In order, every layer reached, in the pruned and in the dense stream."""
    model = tiny_families.model(family).eval().requires_grad_(False)
    blocks = blocks_of(model)
    windows = torch.randint(0, 256, (5, 40), generator=torch.Generator().manual_seed(0))
    leaving = []
    hook = blocks[-1].register_forward_hook(lambda _, inputs, output: leaving.append(output))
    with torch.no_grad():
        model(input_ids=windows, use_cache=False)
    hook.remove()
    expected = leaving[0][0] if isinstance(leaving[0], tuple) else leaving[0]

    hidden = HiddenStates.at_first_block(model, blocks, windows, batch=2)
    hidden.keep_dense_stream()
    every = families.all_layers(blocks)
    met = []
    for index, block in enumerate(blocks):
        own = [layer for layer in every if layer.block == index]
        met += [arrival.layer for arrival in hidden.through(block, index, own) if arrival is not None]
    assert [(layer.block, layer.name) for layer in met] == [(layer.block, layer.name) for layer in every]
    assert torch.allclose(hidden.states, expected, atol=1e-5)
    assert torch.allclose(hidden.dense, expected, atol=1e-5)


@pytest.mark.parametrize("family", ALL)
def test_the_headers_tell_what_the_pipeline_finds(family, folder):
    """Preflight knows the prunable weights to the last one, without torch."""
    facts = model_facts(ModelRef(id=str(folder(family))))
    model = tiny_families.model(family)
    layers = families.all_layers(blocks_of(model))
    assert facts.prunable == sum(layer.matrix.numel() for layer in layers)
    assert facts.blocks == len(blocks_of(model))
    assert {layer.in_features for layer in facts.layers} == {layer.in_features for layer in layers}
    assert facts.hidden == 32 and facts.vocab == 258


@pytest.mark.parametrize("family", ALL)
def test_every_family_decodes_with_its_cache(family):
    assert perplexity.decoding_speed(tiny_families.model(family).eval(), seconds=0) > 0


def test_mamba_prunes_three_projections_and_nothing_else():
    block = blocks_of(tiny_families.model("mamba"))[0]
    assert [layer.name for layer in families.prunable_layers(block, 0)] == [
        "mixer.in_proj", "mixer.x_proj", "mixer.out_proj"
    ]  # fmt: skip


@pytest.mark.parametrize("family", ["mamba", "falcon_mamba", "jamba"])
def test_the_scan_that_is_differentiated_is_the_scan(family):
    """Same logits, same gradients as autograd through transformers' own loop."""
    model = tiny_families.model(family).eval()
    tokens = torch.arange(48).view(2, 24)

    def gradients():
        model.zero_grad()
        loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        return loss, [weight.grad.clone() for weight in model.parameters()]

    loss, theirs = gradients()
    with families.differentiable():
        same, ours = gradients()
    assert torch.allclose(loss, same, rtol=1e-6)
    for one, other in zip(theirs, ours, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5 * float(one.abs().max()))


def test_a_residual_in_float32_stays_so():
    model = tiny_families.model("mamba").to(torch.bfloat16).eval().requires_grad_(False)
    hidden = HiddenStates.at_first_block(
        model, blocks_of(model), torch.zeros(2, 8, dtype=torch.long), batch=2
    )
    assert hidden.states.dtype == torch.float32


def test_a_pattern_that_does_not_fit_mamba_names_the_layer(pruned_by):
    with pytest.raises(BadPattern, match=r"mixer.in_proj \(block 0\) has 32 inputs"):
        pruned_by("mamba", "magnitude", "1:3")


@pytest.mark.parametrize("family", ROUTED)
def test_experts_called_one_by_one_give_what_they_give_together(family):
    model = tiny_families.model(family).eval().requires_grad_(False)
    layers = families.all_layers(blocks_of(model))
    tokens = torch.arange(60).view(3, 20)
    with torch.no_grad():
        together = model(input_ids=tokens, use_cache=False).logits
        standing_in = families.stand_ins(layers)
        one_by_one = model(input_ids=tokens, use_cache=False).logits
        next(layer for layer in layers if layer.routed).write_(torch.zeros(()))
        changed = model(input_ids=tokens, use_cache=False).logits
        for each in standing_in:
            each.remove()
        assert torch.allclose(model(input_ids=tokens, use_cache=False).logits, changed, atol=1e-6)
    assert torch.allclose(one_by_one, together, atol=1e-6)
    assert not torch.allclose(changed, together, atol=1e-6)  # the memory is shared


def test_an_expert_with_few_tokens_is_pruned_and_said(pruned_by, texts, tmp_path):
    few = texts["calibration"] | {"samples": 1}
    events, model, recipe = pruned_by("mixtral", "wanda", "2:4", calibration=few)
    warned = [event.message for event in events if event.kind == "warned"]
    assert any("saw only" in message and "use more calibration samples" in message for message in warned)
    check(events, model, recipe, tiny_families.model("mixtral"), tmp_path / "checkpoint")


def test_an_expert_that_no_token_is_sent_to_is_left_dense(pruned_by, folder, tmp_path, monkeypatch):
    """The first block's router never chooses expert 3."""

    def load(*args):
        model, tokenizer, on_disk = yield from load_as_before(*args)
        gate = blocks_of(model)[0].mlp.gate
        gate.register_forward_hook(lambda _, inputs, output: (*output[:2], output[2].clamp(max=2)))
        return model, tokenizer, on_disk

    load_as_before = pipeline._load
    monkeypatch.setattr(pipeline, "_load", load)
    events, *_ = pruned_by("mixtral", "apt-joint", "2:4")  # carries a dense stream, whose router may differ
    unreached = [event.layer for event in events if event.kind == "warned" and "left dense" in event.message]
    assert unreached == ["block 0 mlp.experts.3.gate_up_proj", "block 0 mlp.experts.3.down_proj"]
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint", dtype=torch.float32)
    dense = tiny_families.model("mixtral")
    name = "model.layers.0.mlp.experts.down_proj"
    assert torch.equal(again.get_parameter(name)[3], dense.get_parameter(name)[3])
    assert not torch.equal(again.get_parameter(name)[2], dense.get_parameter(name)[2])
    assert events[-1].kind == "finished" and events[-1].sparsity < 0.5


def test_a_family_that_is_not_listed_is_found_by_structure_and_said(pruned_by, folder, tmp_path):
    events, model, recipe = pruned_by("stablelm", "magnitude", "0.5")
    said = [event.message for event in events if event.kind == "warned"]
    assert len(said) == 1 and "stablelm has not been tried" in said[0] and "mlp.gate_proj" in said[0]
    check(events, model, recipe, tiny_families.model("stablelm"), tmp_path / "checkpoint")


def test_a_family_is_data_that_json_can_hold():
    for family in families.FAMILIES.values():
        assert type(family).model_validate(json.loads(family.model_dump_json())) == family


def test_a_model_that_also_sees_pictures_is_refused_in_words(tmp_path):
    """Gemma 3 from 4B on: its text tower has no checkpoint of its own, so the architecture is no causal one."""
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]})
    )
    with pytest.raises(NotAModel, match=r"not a causal language model \(Gemma3ForConditionalGeneration\)"):
        model_facts(ModelRef(id=str(tmp_path)))


@pytest.mark.parametrize("family", ALL)
def test_preflight_estimates_every_family(family, folder, texts):
    recipe = apt_core.plan(str(folder(family)), "apt", "2:4", **texts)
    needs = estimate(recipe, model_facts(recipe.model))
    assert needs.refusal is None and needs.seconds > 0 and needs.memory_bytes > 0


def test_a_mamba_that_is_decoded_token_by_token_reads_like_one_pass():
    from apt_core.caches import Decoder

    model = tiny_families.model("mamba").eval()
    tokens = torch.arange(20)
    decoder = Decoder(model)
    one_by_one = [decoder.next_logits(token[None]) for token in tokens]
    with torch.no_grad():
        at_once = model(input_ids=tokens[None], use_cache=False).logits[0]
    assert torch.allclose(torch.stack(one_by_one), at_once, atol=1e-5)
