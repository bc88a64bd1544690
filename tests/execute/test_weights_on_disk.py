"""A run whose blocks stay on disk gives what a run with the whole model in memory gives."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

import apt_core
from apt_core.base.paths import ASSETS
from apt_core.base.policy import PRIVATE
from apt_core.events.records import RunRecord, fold, summary
from apt_core.families import decoder_blocks
from apt_core.jobs import ModelRef
from apt_core.measure.perplexity import perplexity_events
from apt_core.models.catalogue.facts import folder_facts
from apt_core.models.load import loading, skeleton
from apt_core.models.load.loading import load, load_by_block
from apt_core.models.load.tensor_store import ScratchTensors
from apt_core.models.load.weight_store import MemoryStore
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from tests.execute.test_prune import drained
from tests.families.tiny_families import CONFIGS, write

TINY = ASSETS / "models" / "tiny-random-llama"
INDEX = "model.safetensors.index.json"


def plan(method="apt", model=TINY, **more):
    more = {
        "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
        "evaluation": {"text": "wiki-sample", "samples": 3, "length": 64},
        "dtype": "float32",
    } | more
    return apt_core.plan(str(model), method, more.pop("pattern", "2:4"), **more)


def perplexities(events):
    return [event.perplexity for event in events if event.kind == "evaluated"]


def weights_of(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return dict(model.named_parameters())


def same_weights(one, other):
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    for name, weight in first.items():
        assert torch.equal(weight == 0, second[name] == 0), name
        assert torch.allclose(weight, second[name], atol=1e-5), name


@pytest.fixture
def stored_in_parts(tmp_path):
    """The tiny model in bfloat16, in two files whose cut goes through a block."""
    folder = tmp_path / "parts"
    AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.bfloat16).save_pretrained(
        folder, max_shard_size="120KB"
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((TINY / name).read_bytes())
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


@pytest.mark.parametrize("method", ["apt", "apt-joint", "wanda"])
def test_both_ways_give_the_same_model(method, tmp_path):
    runs = {way: list(apt_core.run(plan(method, weights=way), tmp_path / way)) for way in ("memory", "disk")}
    assert perplexities(runs["disk"]) == pytest.approx(perplexities(runs["memory"]), rel=1e-5)
    same_weights(*(tmp_path / way / "checkpoint" for way in runs))
    errors = [[e.relative_error for e in events if e.kind == "layer_pruned"] for events in runs.values()]
    assert errors[0] == pytest.approx(errors[1], rel=1e-3)


def test_a_model_in_parts_and_in_half_precision_goes_in_and_out(stored_in_parts, tmp_path):
    for way in ("memory", "disk"):
        list(apt_core.run(plan("apt", stored_in_parts, weights=way), tmp_path / way))
    checkpoint = tmp_path / "disk" / "checkpoint"
    same_weights(tmp_path / "memory" / "checkpoint", checkpoint)
    where = json.loads((checkpoint / INDEX).read_text())["weight_map"]
    assert (
        where == json.loads((stored_in_parts / INDEX).read_text())["weight_map"]
    )  # the same files as before
    assert set(where.values()) == {file.name for file in checkpoint.glob("*.safetensors")}
    for file in checkpoint.glob("*.safetensors"):
        assert file.read_bytes() == (tmp_path / "memory" / "checkpoint" / file.name).read_bytes()
    for file in checkpoint.glob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(file).values()} == {torch.bfloat16}


def test_what_was_pruned_from_disk_is_pruned_again_from_disk(tmp_path):
    list(apt_core.run(plan(weights="disk"), tmp_path / "first"))
    again = plan(weights="disk", pattern="1:4").model_copy(
        update={"model": ModelRef(id=str(tmp_path / "first" / "checkpoint"))}
    )
    events = list(apt_core.run(again, tmp_path / "second"))
    assert events[-1].sparsity == 0.75
    first = str(tmp_path / "first" / "checkpoint")
    dense = apt_core.evaluate(first, "wiki-sample", samples=3, length=64, dtype="float32")
    assert perplexities(events)[0] == pytest.approx(dense.perplexity, rel=1e-5)


def test_speed_is_not_measured_and_that_is_said(tmp_path):
    recipe = plan(weights="disk")
    from apt_core.events import Stamped

    events = list(apt_core.run(recipe, tmp_path))
    record = fold(
        RunRecord(id="x", job=recipe),
        [Stamped(seq=n, at=n, event=event) for n, event in enumerate(events)],
    )
    assert any("decoding speed is not measured" in warning.message for warning in record.warnings)
    assert summary(record, policy=PRIVATE)["tokens_per_second"] == {"dense": None, "pruned": None}
    assert RunRecord.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("kind", ["progress", "layer_pruned"])
@pytest.mark.parametrize("method", ["apt", "apt-joint"])
def test_a_run_that_is_stopped_leaves_nothing_behind(kind, method, tmp_path):
    """Stopped after half of the model: one block is on disk already."""
    run = apt_core.run(plan(method, weights="disk"), tmp_path)
    pruned = 0
    for event in run:
        pruned += event.kind == "layer_pruned"
        if pruned > 7 and event.kind == kind:
            break
    written = load_file(tmp_path / "checkpoint.partial" / "model.safetensors")
    assert (written["model.layers.0.mlp.up_proj.weight"] == 0).float().mean() > 0.2
    assert (written["model.layers.1.mlp.down_proj.weight"] == 0).sum() == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert all(
        "checkpoint" in name for name in names
    )  # a killed run is tidied up by that word (runs.keeping)
    assert any("scratch" in name for name in names)
    run.close()
    assert not list(tmp_path.iterdir())


def test_a_failure_on_the_way_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("apt_core.models.checkpoint.in_place.copy_companions", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(apt_core.run(plan(weights="disk"), tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_model_that_only_transformers_can_put_together_is_loaded_whole(tmp_path):
    """Stored without its prefix, as some families are: transformers finds the weights all the same."""
    folder = tmp_path / "bare"
    folder.mkdir()
    for file in TINY.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tensors = load_file(TINY / "model.safetensors")
    renamed = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})
    events = list(apt_core.run(plan("wanda", folder, weights="disk"), tmp_path / "run"))
    assert any(
        "cannot be read from disk one at a time" in event.message
        for event in events
        if event.kind == "warned"
    )
    assert events[-1].kind == "finished"


@pytest.mark.parametrize(("free", "expected"), [(10**12, False), (10**6, True)])
def test_auto_reads_from_disk_what_does_not_fit(free, expected, tmp_path, monkeypatch):
    monkeypatch.setattr("apt_core.estimate.placing.free_memory", lambda: free)
    events = apt_core.run(plan("wanda"), tmp_path)
    warned = next((event for event in events if event.kind in ("warned", "model_loaded")), None)
    events.close()
    assert (warned.kind == "warned") == expected


@pytest.mark.parametrize("tied", [True, False])
def test_while_blocks_are_pruned_nothing_else_is_in_memory(tied, tmp_path):
    whole = AutoModelForCausalLM.from_pretrained(TINY)
    if not tied:
        whole.config.tie_word_embeddings = False
        whole.lm_head.weight = torch.nn.Parameter(torch.randn_like(whole.lm_head.weight))
    whole.save_pretrained(tmp_path)
    model, weights = skeleton.build(tmp_path, torch.float32, "cpu")
    with weights.rest_away():
        assert all(parameter.is_meta for parameter in model.parameters())
        with weights.block(0) as block:
            assert not any(parameter.is_meta for parameter in block.parameters())
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    beside = {name for name, parameter in model.named_parameters() if not parameter.is_meta}
    assert beside == {name for name, _ in whole.named_parameters() if "layers" not in name}
    for name in beside:
        assert torch.equal(model.get_parameter(name), whole.get_parameter(name)), name


def test_decoding_is_measured_where_all_blocks_fit(tmp_path, monkeypatch):
    """auto keeps blocks on disk in any case; a speed is missing only where memory is."""
    speeds = []
    for free in (10**12, 10**6):
        monkeypatch.setattr("apt_core.estimate.placing.free_memory", lambda free=free: free)
        events = apt_core.run(plan("wanda"), tmp_path / str(free))
        speeds.append([event.tokens_per_second for event in events if event.kind == "measured"])
    sizes_alone = [None, None]  # of the dense and the pruned files; both are timed in turns at the end
    assert speeds[0][:2] == sizes_alone == speeds[1] and all(speed > 0 for speed in speeds[0][2:])
    assert len(speeds[0]) == 4
    same_weights(*(tmp_path / str(free) / "checkpoint" for free in (10**12, 10**6)))


# ---- other families

_MEASURES = {
    "hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 120, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip
_WITH_HEADS = _MEASURES | {
    "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}  # fmt: skip
_FAMILIES = {
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4},
    "qwen2": _WITH_HEADS,  # biases
    "gemma3_text": _WITH_HEADS
    | {"head_dim": 16, "sliding_window": 8},  # two kinds of mask, a scaled embedding
    "phi3": _WITH_HEADS,  # one matrix for q, k and v
    "opt": _MEASURES
    | {"ffn_dim": 96, "num_attention_heads": 4, "word_embed_proj_dim": 64},  # learnt positions
    "mamba": _MEASURES | {"state_size": 8},  # no attention at all
}


def saved(family, measures, folder):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **measures), dtype=torch.float32)
    model.eval().save_pretrained(folder)
    return model


@pytest.mark.parametrize("family", _FAMILIES)
def test_other_families_are_computed_block_by_block_as_well(family, tmp_path):
    whole = saved(family, _FAMILIES[family], tmp_path)
    model, weights = skeleton.build(tmp_path, torch.float32, "cpu")
    windows = torch.randint(3, 120, (3, 40))
    expected, found = (
        drained(perplexity_events(one, windows, "dense", "x", where)).perplexity
        for one, where in ((whole, None), (model, weights))
    )
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("family", CONFIGS)
def test_what_the_registry_says_of_reading_by_block_is_so(family, tmp_path):
    """The preflight, which has no torch, goes by the registry."""
    facts = folder_facts(write(family, tmp_path), family, source="local folder")
    try:
        skeleton.build(tmp_path, torch.float32, "cpu")
    except skeleton.NotByBlock:
        assert not facts.by_block
    else:
        assert facts.by_block


def test_models_that_cannot_be_read_by_block_say_why(tmp_path):
    saved("mixtral", _WITH_HEADS, tmp_path)
    with pytest.raises(skeleton.NotByBlock, match="rearranged"):
        loading._skeleton(tmp_path, torch.float32, "cpu")
    assert loading._converted(tmp_path, torch.bfloat16) is None  # so transformers loads it


# ---- the parts


def test_a_block_is_there_only_while_it_is_needed():
    whole, _ = load(TINY, torch.float32, "cpu")
    model, _, weights = load_by_block(TINY, torch.float32, "cpu")
    assert model.model.rotary_emb.inv_freq.device.type == "cpu"
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert not model.model.embed_tokens.weight.is_meta
    with weights.block(1) as block:
        assert block is model.model.layers[1]
        for name, weight in block.named_parameters():
            assert torch.equal(weight, whole.model.layers[1].get_parameter(name)), name
            assert not weight.requires_grad
        assert all(weight.is_meta for weight in model.model.layers[0].parameters())
        block.mlp.up_proj.weight.data.zero_()
    assert all(weight.is_meta for weight in model.model.layers.parameters())
    with weights.block(1) as block:
        assert block.mlp.up_proj.weight.abs().sum() > 0  # read again, the file is as it was


def test_only_the_tensors_of_the_block_are_read(monkeypatch):
    from apt_core.models.load import weight_files

    _, _, weights = load_by_block(TINY, torch.float32, "cpu")
    read = []

    def watched(*args, **kwargs):
        opened = open_(*args, **kwargs)

        class Watching:
            def __enter__(self):
                self.opened = opened.__enter__()
                return self

            def __exit__(self, *error):
                return opened.__exit__(*error)

            def get_tensor(self, name):
                read.append(name)
                return self.opened.get_tensor(name)

        return Watching()

    open_ = weight_files.safe_open
    monkeypatch.setattr(weight_files, "safe_open", watched)
    with weights.block(0):
        pass
    assert len(read) == 9 and all(name.startswith("model.layers.0.") for name in read)


def test_an_untied_head_is_read_as_its_own(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(TINY)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    model.save_pretrained(tmp_path / "untied")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "untied" / name).write_bytes((TINY / name).read_bytes())
    loaded, _, _ = load_by_block(tmp_path / "untied", torch.float32, "cpu")
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    assert not torch.equal(loaded.lm_head.weight, loaded.model.embed_tokens.weight)
    for way in ("memory", "disk"):
        list(apt_core.run(plan("wanda", tmp_path / "untied", weights=way), tmp_path / way))
    same_weights(*(tmp_path / way / "checkpoint" for way in ("memory", "disk")))


def test_half_precision_read_as_float32_is_what_transformers_reads(stored_in_parts):
    expected = AutoModelForCausalLM.from_pretrained(stored_in_parts, dtype=torch.float32)
    model, tokenizer = load(stored_in_parts, torch.float32, "cpu")
    for name, weight in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.generation_config.eos_token_id == expected.generation_config.eos_token_id
    words = tokenizer("two words", return_tensors="pt")
    assert torch.equal(model(**words).logits, expected(**words).logits)


def test_the_model_without_its_blocks_ends_as_the_model_ends():
    model, _ = load(TINY, torch.float32, "cpu")
    blocks = decoder_blocks(model)
    head = EmbeddingAndHead.of(model, MemoryStore(model))
    tokens = torch.randint(0, 200, (2, 16))
    seen = []
    hook = blocks[-1].register_forward_hook(lambda _, __, output: seen.append(output))
    expected = model(input_ids=tokens, use_cache=False).logits
    hook.remove()
    assert torch.allclose(head.logits(tokens, seen[0]), expected, atol=1e-6)
    part = slice(3, 9)
    assert torch.allclose(head.logits(tokens[:, part], seen[0][:, part]), expected[:, part], atol=1e-6)
    assert torch.equal(model(input_ids=tokens, use_cache=False).logits, expected)  # left as it was
    assert not any("forward" in block.__dict__ for block in blocks)


def test_tensors_wait_on_disk(tmp_path):
    scratch = ScratchTensors(tmp_path / "states", "cpu")
    scratch[3] = {"a/b": torch.arange(4.0), "c": torch.zeros(0, 2)}
    scratch[3] = {"a/b": scratch[3]["a/b"] * 2, "c": torch.tensor(1.5)}
    kept = scratch.pop(3)
    assert torch.equal(kept["a/b"], torch.arange(4.0) * 2) and float(kept["c"]) == 1.5
    assert not list((tmp_path / "states").iterdir()) and 3 not in scratch
