"""Every family and every method, through the whole pipeline, on tiny random models that this file writes."""

from __future__ import annotations

import json
from itertools import product

import pytest
import tiny_families
import torch
from transformers import AutoModelForCausalLM

import apt_core
from apt_core import families
from apt_core.base.clock import Clock
from apt_core.base.errors import BadPattern, NotAModel
from apt_core.base.paths import ASSETS
from apt_core.base.policy import PRIVATE
from apt_core.estimate.preflight import estimate
from apt_core.execute import measuring, opening
from apt_core.execute import prune as pipeline
from apt_core.jobs import ModelRef
from apt_core.maths.pattern import is_exact, removed_count
from apt_core.measure import perplexity
from apt_core.methods import METHODS
from apt_core.models.catalogue.facts import model_facts
from apt_core.models.load.disk_store import DiskStore
from apt_core.models.load.weight_store import MemoryStore
from apt_core.passes.entering import Entering
from apt_core.passes.halting import Halting
from apt_core.passes.runner import OpenBlock, Runner
from apt_core.passes.shared_weights import collect
from tests.execute.test_prune import drained

ALL = list(tiny_families.CONFIGS)
IN_TURN = ("sparsegpt", "wanda", "magnitude")  # one of them for each family, beside APT
ON_SOME = ("llama", "gpt2", "mamba", "mixtral")  # one of each kind, and transposed weights
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
    """Run the pipeline; give back its events and the model as it is at the end."""
    loaded = []

    def load(*args):
        found = yield from load_as_always(*args)
        loaded.append(found)
        return found

    load_as_always = opening._load
    monkeypatch.setattr(opening, "_load", load)
    monkeypatch.setattr(pipeline, "timed_in_turns", lambda folder: False)
    monkeypatch.setattr(measuring, "decoding_speed", lambda model: 1.0)  # a second each; tried below

    def run(family: str, method: str, pattern: str, **more):
        wanted = {"dtype": "float32"} | texts | more
        recipe = apt_core.plan(str(folder(family)), method, pattern, **wanted)
        events = list(apt_core.run(recipe, tmp_path))
        model, _, store = loaded[-1]
        assert isinstance(store, DiskStore) == model_facts(recipe.model, PRIVATE).by_block
        for index in range(len(store.blocks) if isinstance(store, DiskStore) else 0):
            store.fill(index)  # as the run itself reads what it measures
        return events, model, recipe

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
    own_budgets = recipe.method.allocation.varies(recipe.pattern)
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


def by_default(family, method, pattern):
    """APT in both patterns on every family; of each kind one family by every method, patterns in turn over them."""
    if method == "apt":
        return True
    at = ALL.index(family)
    in_turn = ("0.5", "2:4")[(at + list(METHODS).index(method)) % 2]
    return pattern == in_turn and (family in ON_SOME or method == IN_TURN[at % len(IN_TURN)])


def contract():
    """Every family, every method, both patterns; `-m slow` for what is not run every time."""
    return [
        pytest.param(*case, marks=[] if by_default(*case) else [pytest.mark.slow])
        for case in product(ALL, METHODS, ("0.5", "2:4"))
    ]


def test_what_is_pruned_every_time_has_every_family_and_every_method_in_both_patterns():
    every_time = [case for case in product(ALL, METHODS, ("0.5", "2:4")) if by_default(*case)]
    assert {(method, pattern) for _, method, pattern in every_time} == set(product(METHODS, ("0.5", "2:4")))
    assert {(family, pattern) for family, _, pattern in every_time} == set(product(ALL, ("0.5", "2:4")))
    assert {family for family, method, _ in every_time if method != "apt"} == set(ALL)


@pytest.mark.parametrize(("family", "method", "pattern"), contract())
def test_every_family_is_pruned_exactly_and_loads_again(family, method, pattern, pruned_by, tmp_path):
    """`python -m benchmarks.families` runs all of them and writes the table of the documentation."""
    events, model, recipe = pruned_by(family, method, pattern)
    check(events, model, recipe, tiny_families.model(family), tmp_path / "checkpoint")


def test_every_family_has_a_name_and_a_kind():
    assert [name for kind in tiny_families.KINDS.values() for name in kind] == ALL


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
        kept = [layer.name for layer in families.prunable_layers(block, 0, optional=True)]
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

    entering = Entering.of(model, blocks, windows, batch=2)
    every = families.all_layers(blocks)
    hidden = Halting(entering.states, 2, every, Clock(), compare=True)
    steps = Runner(MemoryStore(model), entering).run(hidden)
    met = [arrival.layer for arrival in steps if arrival is not None]
    assert [(layer.block, layer.name) for layer in met] == [(layer.block, layer.name) for layer in every]
    assert torch.allclose(hidden.states, expected, atol=1e-5)
    assert torch.allclose(hidden.dense, expected, atol=1e-5)


@pytest.mark.parametrize("family", ALL)
def test_the_headers_tell_what_the_pipeline_finds(family, folder):
    """Preflight knows the prunable weights to the last one, without torch."""
    facts = model_facts(ModelRef(id=str(folder(family))), PRIVATE)
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
    entering = Entering.of(model, blocks_of(model), torch.zeros(2, 8, dtype=torch.long), batch=2)
    assert entering.states.dtype == torch.float32


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
        proxies = families.module_proxies(layers)
        one_by_one = model(input_ids=tokens, use_cache=False).logits
        next(layer for layer in layers if layer.routed).write_(torch.zeros(()))
        changed = model(input_ids=tokens, use_cache=False).logits
        for proxy in proxies:
            proxy.remove()
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
        model, tokenizer, store = yield from load_as_before(*args)
        gate = blocks_of(model)[0].mlp.gate
        gate.register_forward_hook(lambda _, inputs, output: (*output[:2], output[2].clamp(max=2)))
        return model, tokenizer, store

    load_as_before = opening._load
    monkeypatch.setattr(opening, "_load", load)
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
        model_facts(ModelRef(id=str(tmp_path)), PRIVATE)


@pytest.mark.parametrize("family", ALL)
def test_preflight_estimates_every_family(family, folder, texts):
    recipe = apt_core.plan(str(folder(family)), "apt", "2:4", **texts)
    needs = estimate(recipe, model_facts(recipe.model, PRIVATE))
    assert needs.refusal is None and needs.seconds > 0 and needs.memory_bytes > 0


def test_a_mamba_that_is_decoded_token_by_token_reads_like_one_pass():
    from apt_core.measure.decoding import Decoder

    model = tiny_families.model("mamba").eval()
    tokens = torch.arange(20)
    decoder = Decoder(model)
    one_by_one = [decoder.next_logits(token[None]) for token in tokens]
    with torch.no_grad():
        at_once = model(input_ids=tokens[None], use_cache=False).logits[0]
    assert torch.allclose(torch.stack(one_by_one), at_once, atol=1e-5)


# ---- rows that are projections of their own, layers that are pruned only when asked, parameters in float32

STATE_SPACE = (
    "mamba", "mamba2", "falcon_mamba", "jamba", "zamba2", "bamba", "granitemoehybrid", "nemotron_h"
)  # fmt: skip


@pytest.mark.parametrize("family", STATE_SPACE)
def test_the_rows_of_a_fused_projection_are_told_apart(family, pruned_by):
    events, model, _ = pruned_by(family, "wanda", "0.5")
    layers = {(layer.block, layer.name): layer for layer in families.all_layers(blocks_of(model))}
    fused = [event for event in events if event.kind == "layer_pruned" and event.parts]
    assert fused
    for event in fused:
        parts = event.parts
        assert sum(part.rows for part in parts) == event.shape[0]
        assert sum(part.removed for part in parts) == event.removed
        last = layers[event.block, event.layer].matrix[-parts[-1].rows :]
        assert int((last == 0).sum()) == parts[-1].removed
        errors = [part.relative_error for part in parts]
        assert min(errors) <= event.relative_error <= max(errors)  # a mean, weighed by what each one says
    names = {event.layer.rpartition(".")[2]: [part.name for part in event.parts] for event in fused}
    first = ["x", "z"] if family in ("mamba", "falcon_mamba", "jamba") else ["z", "x", "B", "C", "dt"]
    assert names["in_proj"] == first and names.get("x_proj", ["dt", "B", "C"]) == ["dt", "B", "C"]


@pytest.mark.parametrize("method", ["apt", "apt-joint"])
@pytest.mark.parametrize("family", ["mamba", "falcon_mamba", "jamba"])
def test_dt_proj_is_pruned_when_asked_for(family, method, pruned_by, folder, tmp_path):
    events, _, recipe = pruned_by(family, method, "2:4", optional_layers=True)
    told = [event for event in events if event.kind == "layer_pruned" and event.layer.endswith("dt_proj")]
    assert len(told) == (1 if family == "jamba" else 2)
    assert all(event.pattern_valid and event.sparsity == 0.5 and event.tokens == 192 for event in told)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint", dtype=torch.float32)
    dense = tiny_families.model(family)
    for layer in families.all_layers(blocks_of(again), optional=True):
        assert is_exact(layer.matrix, recipe.pattern), layer.name
    for (name, before), after in zip(dense.named_parameters(), again.parameters(), strict=True):
        if name.endswith("dt_proj.weight"):
            assert int((after == 0).sum()) == after.numel() // 2
        if name.endswith("dt_proj.bias"):
            assert torch.equal(before, after)
    facts = model_facts(recipe.model, PRIVATE)
    loaded = next(event for event in events if event.kind == "model_loaded")
    assert facts.prunable < facts.with_optional().prunable == loaded.prunable


@pytest.mark.parametrize("family", ["mamba", "falcon_mamba", "jamba"])
def test_a_dt_proj_that_is_called_is_the_one_that_is_not(family):
    model = tiny_families.model(family).eval().requires_grad_(False)
    block = blocks_of(model)[0]
    layers = families.prunable_layers(block, 0, optional=True)
    dt = next(layer for layer in layers if layer.name.endswith("dt_proj"))
    tokens, seen = torch.arange(40).view(2, 20), []
    expected = model(input_ids=tokens, use_cache=False).logits
    hook = dt.module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    proxies = families.module_proxies(layers)
    called = model(input_ids=tokens, use_cache=False).logits
    owner = block.get_submodule(dt.name)
    inputs = torch.randn(3, 4)
    direct = torch.nn.functional.linear(inputs, owner._parameters["weight"], owner.bias)
    assert torch.allclose(owner(inputs), direct, atol=1e-6)
    for proxy in proxies:
        proxy.remove()
    assert seen[0] == (2, 20, 4) and len(seen) == 2
    assert torch.allclose(called, expected, atol=1e-6)
    assert torch.equal(model(input_ids=tokens, use_cache=False).logits, expected)
    hook.remove()


@pytest.fixture
def stored_as(folder, tmp_path):
    """A family's tiny model with its weights stored in half precision, but A_log, D and dt_bias in float32."""
    from safetensors.torch import load_file, save_file

    def of(family: str):
        place = tmp_path / "stored"
        place.mkdir()
        for file in folder(family).iterdir():
            (place / file.name).write_bytes(file.read_bytes())
        tensors = load_file(place / "model.safetensors")
        kept = {name: tensor if _in_float32(name) else tensor.bfloat16() for name, tensor in tensors.items()}
        save_file(kept, place / "model.safetensors", {"format": "pt"})
        return place, kept

    return of


def _in_float32(name: str) -> bool:
    return name.rpartition(".")[2] in ("A_log", "D", "dt_bias")


@pytest.mark.parametrize("weights", ["memory", "disk"])
@pytest.mark.parametrize("family", STATE_SPACE)
def test_what_needs_float32_stays_so_in_half_precision(
    family, weights, stored_as, texts, tmp_path, monkeypatch
):
    from safetensors.torch import load_file

    place, before = stored_as(family)
    monkeypatch.setattr(pipeline, "timed_in_turns", lambda folder: False)
    monkeypatch.setattr(measuring, "decoding_speed", lambda model: 1.0)
    seen = {}

    def call(self, *args):
        seen.update({name: weight.dtype for name, weight in self.module.named_parameters()})
        return call_as_always(self, *args)

    call_as_always = OpenBlock.__call__
    monkeypatch.setattr(OpenBlock, "__call__", call)
    recipe = apt_core.plan(str(place), "wanda", "0.5", dtype="bfloat16", weights=weights, **texts)
    assert list(apt_core.run(recipe, tmp_path / "run"))[-1].kind == "finished"
    computed = {dtype for name, dtype in seen.items() if _in_float32(name)}
    assert computed == {torch.float32}
    files = list((tmp_path / "run" / "checkpoint").glob("*.safetensors"))
    after = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype, name
        if _in_float32(name):
            assert torch.equal(after[name], tensor), name


@pytest.mark.parametrize("family", ["mixtral", "granitemoehybrid", "nemotron_h", "jamba", "gpt_neox"])
def test_half_precision_rounds_nothing_that_is_not_pruned(family, pruned_by, tmp_path):
    """Also where transformers writes the checkpoint: under the names and in the precision of the dense files."""
    pruned_by(family, "wanda", "0.5", dtype="bfloat16")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint", dtype=torch.float32)
    touched = {storage(layer.parameter) for layer in families.all_layers(blocks_of(again))}
    dense = dict(tiny_families.model(family).named_parameters())
    for name, weight in again.named_parameters():
        assert torch.equal(weight, dense[name]) == (storage(weight) not in touched), name


def folded(events, recipe):
    from apt_core.events import Stamped
    from apt_core.events.records import RunRecord, fold

    stamped = [Stamped(seq=number, at=number, event=event) for number, event in enumerate(events)]
    return fold(RunRecord(id="x", job=recipe), stamped)


def test_the_rows_of_a_fused_projection_are_rows_and_traces(pruned_by):
    """In the record, on the command line, in the page's table and chart."""
    from apt_core.cli.report import report
    from apt_core.events.records import summary
    from apt_core.plots import layer_error
    from apt_core.plots.chart import RunSet
    from apt_core.ui.views.chart_payload import chart_table

    events, _, recipe = pruned_by("mamba2", "wanda", "0.5")
    record = folded(events, recipe)
    assert [part["name"] for part in summary(record)["layers"][0]["parts"]] == ["z", "x", "B", "C", "dt"]
    runs = RunSet(record)
    table, sheet = str(chart_table(layer_error.table(runs))), layer_error.sheet(runs).as_csv()
    assert "4 pruned layers" in table
    for part in ("z", "x", "B", "C", "dt"):
        assert f'data-key="1:mixer.in_proj[{part}]"' in table
        assert f"mixer.in_proj[{part}]" in report(record, None)
        assert f"1,mixer.in_proj[{part}]," in sheet
    traces = [trace.name for trace in layer_error.figure(runs).data]
    assert traces == ["in z", "in x", "in B", "in C", "in dt", "out"]
    empty = record.model_copy(update={"layers": ()})  # the legend is there before the first point
    assert [trace.name for trace in layer_error.figure(RunSet(empty)).data] == traces


def test_an_expert_with_few_tokens_is_seen_wherever_one_looks(pruned_by, texts):
    """In the record, on the command line and in the page."""
    from apt_core.cli.report import report
    from apt_core.events.records import summary
    from apt_core.plots import layer_error
    from apt_core.plots.chart import RunSet
    from apt_core.ui.views.tables import warnings_block

    few = texts["calibration"] | {"samples": 1}
    events, _, recipe = pruned_by("mixtral", "wanda", "2:4", calibration=few)
    record = folded(events, recipe)
    noisy = [layer for layer in record.layers if layer.few_tokens]
    assert {"self_attn.q_proj", "mlp.experts.0.down_proj"} <= {
        layer.layer for layer in noisy
    }  # 32 tokens at most
    assert all(layer.tokens < 2 * layer.shape[1] for layer in noisy)
    assert summary(record)["layers"][record.layers.index(noisy[0])]["few_tokens"] is True
    assert f"{len(noisy)} matrices saw too few tokens" in report(record, None)
    assert f"{noisy[0].layer} (only {noisy[0].tokens} tokens)" in str(layer_error.table(RunSet(record)).rows)
    assert "use more calibration samples" in warnings_block(record)


def test_many_experts_with_few_tokens_are_one_warning_a_block(pruned_by, texts):
    few = texts["calibration"] | {"samples": 1}
    events, *_ = pruned_by("mixtral", "wanda", "2:4", calibration=few)
    said = [event.message for event in events if event.kind == "warned" and "saw only" in event.message]
    assert len(said) == 2 and all("of the 8 expert matrices of block" in message for message in said)


# ---- weights that several blocks share


def zamba2_stored_twice(folder, place):
    """The tiny Zamba2 with its shared block written down at every depth, as some files have it."""
    from safetensors.torch import load_file, save_file

    place.mkdir()
    for file in folder.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    tensors = load_file(place / "model.safetensors")
    copies = {
        name.replace("layers.1.", "layers.3."): tensor.clone()
        for name, tensor in tensors.items()
        if "layers.1.shared_transformer" in name and "_adapter_list" not in name
    }
    assert copies and not copies.keys() & tensors.keys()
    save_file(tensors | copies, place / "model.safetensors", {"format": "pt"})
    return place


@pytest.mark.parametrize("stored", ["once", "twice"])
def test_a_shared_block_is_pruned_once_and_stays_shared(stored, folder, texts, tmp_path, monkeypatch):
    place = folder("zamba2")
    if stored == "twice":
        place = zamba2_stored_twice(place, tmp_path / "twice")
    monkeypatch.setattr(pipeline, "timed_in_turns", lambda folder: False)
    monkeypatch.setattr(measuring, "decoding_speed", lambda model: 1.0)
    recipe = apt_core.plan(str(place), "apt", "2:4", dtype="float32", **texts)
    events = list(apt_core.run(recipe, tmp_path / "run"))
    told = [event for event in events if event.kind == "layer_pruned" and "shared" in event.layer]
    assert {event.block for event in told} == {1} and len({event.layer for event in told}) == len(told) == 6
    assert all(event.tokens == 2 * 6 * 32 for event in told)  # of both uses
    assert any("used at up to 2 depths" in event.message for event in events if event.kind == "warned")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "checkpoint", dtype=torch.float32)
    first, second = (blocks_of(again)[index].shared_transformer for index in (1, 3))
    for event in told:
        name = event.layer.removeprefix("shared_transformer.") + ".weight"
        assert second.get_parameter(name) is first.get_parameter(name)
        assert is_exact(first.get_parameter(name), recipe.pattern)


def test_the_later_uses_of_a_shared_weight_count_as_the_dense_model_has_them():
    model = tiny_families.model("zamba2").eval().requires_grad_(False)
    blocks = blocks_of(model)
    layers = families.all_layers(blocks)
    windows = torch.randint(0, 256, (5, 40), generator=torch.Generator().manual_seed(0))
    seen = []
    second = blocks[3].shared_transformer.self_attn.q_proj
    hook = second.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, 1)))
    model(input_ids=windows, use_cache=False)
    hook.remove()
    entering = Entering.of(model, blocks, windows, batch=2)
    before = entering.states.clone()
    collected = drained(collect(MemoryStore(model), families.later_uses(blocks, layers), entering, batch=2))
    assert torch.equal(entering.states, before)
    shared = "shared_transformer.self_attn"
    stats = collected[1, f"{shared}.q_proj"]
    assert torch.allclose(stats.gram, seen[0].T @ seen[0], rtol=1e-4, atol=1e-4)
    assert stats.tokens == 200 and collected[1, f"{shared}.v_proj"] is stats
    assert (1, "linear") not in collected  # every depth has its own
