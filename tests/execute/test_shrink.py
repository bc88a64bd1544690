"""Whole blocks, heads and channels go: the smaller model is what plain transformers loads, and computes the same."""

from __future__ import annotations

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM

import apt_core
from apt_core import families
from apt_core.base.errors import BadInput
from apt_core.base.paths import ASSETS
from apt_core.events import Stamped
from apt_core.events.records import RunRecord, fold, summary
from apt_core.execute import shrink_depth, shrink_widths
from apt_core.models.load.weight_store import MemoryStore
from apt_core.passes.block_scores import block_influences, perplexities_without
from apt_core.passes.entering import Entering
from tests.families import tiny_families

TEXTS = {
    "calibration": {"text": "wiki-sample", "samples": 6, "length": 32},
    "evaluation": {"text": "wiki-sample", "samples": 2, "length": 32},
}
SHARING = ("zamba2", "zamba2 two")
HYBRID = ("jamba", "bamba", "granitemoehybrid", "granitemoehybrid dense", "nemotron_h")
WITH_GROUPS = (
    *("llama", "llama 3", "smollm3", "mistral", "qwen2", "qwen3", "phi3", "phi3 4", "gemma2", "gemma3_text"),
    *("gpt2", "opt", "gpt_neox", "falcon", "falcon alibi", "olmo2", "granite"),
)
CHANNELS_ALONE = ("opt", "gpt_neox")  # and these are less than half of a tiny block
WITHOUT = [family for family in tiny_families.CONFIGS if family not in WITH_GROUPS]
SLOW = pytest.mark.slow
# Of every kind of block one family at once, the others where there is time.
FIRST = ("gemma3_text", "gpt2", "phi3")


def some_at_once(names):
    return [name if name in FIRST else pytest.param(name, marks=SLOW) for name in names]


def shrunk(model, folder, method, sparsity=0.5, weights="auto", more=None, **options):
    """(the record, the smaller model as plain transformers loads it)"""
    texts = TEXTS | (more or {})
    job = apt_core.plan(
        str(model), method, sparsity, options, device="cpu", dtype="float32", weights=weights, **texts
    )
    record = RunRecord(id="run", job=job)
    events = [Stamped(seq=n, at=0.0, event=event) for n, event in enumerate(apt_core.run(job, folder))]
    return fold(record, events), plain(folder / "checkpoint")


def plain(folder):
    loaded, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    return loaded.eval()


def drained(steps):
    """What a generator returns in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def tokens(windows=2, length=12):
    return torch.randint(0, 250, (windows, length), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def logits(model):
    return model(input_ids=tokens(), use_cache=False).logits


@torch.no_grad()
def check_cache(model):
    """Greedy writing with a cache is greedy writing without one."""
    known = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    cached, anew = (model.generate(tokens(1, 8), use_cache=cache, **known) for cache in (True, False))
    assert torch.equal(cached, anew)


@torch.no_grad()
def without_blocks(model, kept):
    """The dense model that calls only these of its blocks: the oracle."""
    wrapped = answers_with_tuples(model)
    for index, block in enumerate(families.decoder_blocks(model)):
        if index not in kept:
            block.forward = lambda hidden_states, *_, **__: (hidden_states,) if wrapped else hidden_states
    return model


def answers_with_tuples(model):
    """Does a block of this model answer with a tuple?"""
    answers = []
    hook = families.decoder_blocks(model)[0].register_forward_hook(lambda *seen: answers.append(seen[2]))
    model(input_ids=tokens(), use_cache=False)
    hook.remove()
    return isinstance(answers[0], tuple)


# ---- depth


@pytest.mark.parametrize(
    "family", some_at_once(name for name in tiny_families.CONFIGS if name not in (*SHARING, *HYBRID))
)
def test_a_model_without_blocks_is_the_dense_one_that_skips_them(family, tmp_path):
    folder = tiny_families.write(family, tmp_path / "dense")
    record, small = shrunk(folder, tmp_path / "run", "depth", criterion="influence")
    kept = record.shrunk.kept
    assert len(kept) == 1 and len(families.decoder_blocks(small)) == 1
    assert small.config.num_hidden_layers == 1
    assert record.shrunk.parameters == sum(one.numel() for one in small.parameters())
    assert kept == tuple(sorted({0, 1} - {min((0, 1), key=record.shrunk.scores.__getitem__)}))
    torch.testing.assert_close(
        logits(small), logits(without_blocks(plain(folder), kept)), rtol=1e-4, atol=1e-5
    )
    check_cache(small)


@pytest.mark.slow
@pytest.mark.parametrize("family", SHARING)
def test_blocks_that_share_weights_stay(family, tmp_path):
    folder = tiny_families.write(family, tmp_path / "dense")
    with pytest.raises(BadInput, match="share weights"):
        shrunk(folder, tmp_path / "run", "depth")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bamba", "granitemoehybrid", "granitemoehybrid dense"])
def test_the_last_attention_stays(family, tmp_path):
    folder = tiny_families.write(family, tmp_path / "dense")
    with pytest.raises(BadInput, match="attention would go"):
        shrunk(folder, tmp_path / "run", "depth", criterion="last")


@pytest.mark.slow
def test_a_configuration_that_cannot_say_which_blocks_stay_is_refused(tmp_path):
    """Jamba counts its attention and its experts by period."""
    folder = tiny_families.write("jamba", tmp_path / "dense")
    with pytest.raises(BadInput, match="cannot describe what would be left"):
        shrunk(folder, tmp_path / "run", "depth")
    assert not (tmp_path / "run" / "checkpoint").exists()


@pytest.mark.slow
def test_hybrid_blocks_keep_their_kinds(tmp_path):
    folder = tiny_families.write("nemotron_h", tmp_path / "dense")
    record, small = shrunk(folder, tmp_path / "run", "depth", 0.25, criterion="last")
    assert record.shrunk.kept == (0, 1, 2)
    torch.testing.assert_close(
        logits(small), logits(without_blocks(plain(folder), (0, 1, 2))), rtol=1e-4, atol=1e-5
    )


def test_sliding_windows_stay_with_their_blocks(tmp_path):
    """Lists with an entry for each block follow the blocks, also those that transformers works out itself."""
    folder = tiny_families.write("gemma3_text", tmp_path / "dense")
    record, small = shrunk(folder, tmp_path / "run", "depth", criterion="influence")
    kinds = ["sliding_attention", "full_attention"]
    assert small.config.layer_types == [kinds[block] for block in record.shrunk.kept]


@pytest.mark.parametrize("weights", ["memory", pytest.param("disk", marks=SLOW)])
@pytest.mark.parametrize("criterion", ["last", "influence", "perplexity", "reconstruction"])
def test_each_criterion(criterion, weights, tmp_path):
    record, small = shrunk("tiny-llama", tmp_path, "depth", 0.25, weights, criterion=criterion)
    said = summary(record)
    assert said["shrunk"]["blocks"] == 4 and len(said["shrunk"]["kept"]) == 3
    assert said["parameters"]["pruned"] < said["parameters"]["dense"]
    assert said["bytes"]["pruned"] < 0.8 * said["bytes"]["dense"]
    assert said["sparsity"] == pytest.approx(0.25)
    assert record.status == "finished" and record.ratio < 3
    assert len(record.shrunk.folded) == (criterion == "reconstruction")
    check_cache(small)
    assert not list(tmp_path.glob("checkpoint?*"))  # nothing in between stays


def test_the_perplexity_of_a_block_left_out_is_that_of_the_smaller_model():
    model = plain(ASSETS / "models" / "tiny-llama")
    store, windows = MemoryStore(model), tokens(3, 24)
    entering = Entering.of(model, store.blocks, windows, batch=2)
    found = drained(perplexities_without(model, store, windows, entering, 2))
    for gone in range(4):
        skipping = without_blocks(plain(ASSETS / "models" / "tiny-llama"), {0, 1, 2, 3} - {gone})
        with torch.no_grad():
            loss = skipping(input_ids=windows, labels=windows).loss
        assert found[gone] == pytest.approx(math.exp(float(loss)), rel=1e-4)


def test_block_influence_is_one_minus_the_cosine():
    model = plain(ASSETS / "models" / "tiny-llama")
    store, windows = MemoryStore(model), tokens(3, 24)
    entering = Entering.of(model, store.blocks, windows, batch=2)
    found = drained(block_influences(store, entering, 2))
    with torch.no_grad():
        states = model(input_ids=windows, output_hidden_states=True).hidden_states
    for block in range(3):  # behind the last one stands the norm
        cosine = torch.nn.functional.cosine_similarity(states[block], states[block + 1], dim=-1).mean()
        assert found[block] == pytest.approx(1 - float(cosine), abs=1e-5)


def test_a_block_whose_score_is_not_finite_stays_and_its_score_is_not_known(tmp_path, monkeypatch):
    real = shrink_depth.block_influences

    def scored(*given):
        found = yield from real(*given)
        return [math.nan if block == 1 else score for block, score in enumerate(found)]

    monkeypatch.setattr(shrink_depth, "block_influences", scored)
    record, small = shrunk("tiny-llama", tmp_path, "depth", criterion="influence")
    assert record.shrunk.scores[1] is None and 1 in record.shrunk.kept
    assert small.config.num_hidden_layers == 2
    json.dumps(summary(record), allow_nan=False)


@pytest.mark.slow
def test_maps_that_are_folded_in_beat_removal_alone(tmp_path, monkeypatch):
    more = {
        "calibration": {"text": "wiki-sample", "samples": 32, "length": 64},
        "evaluation": {"text": "wiki-sample", "samples": 8, "length": 64},
    }
    folded, _ = shrunk("tiny-llama", tmp_path / "map", "depth", 0.25, more=more, criterion="reconstruction")
    monkeypatch.setattr(shrink_depth, "_fold", left_alone)
    alone, _ = shrunk("tiny-llama", tmp_path / "not", "depth", 0.25, more=more, criterion="reconstruction")
    assert folded.shrunk.kept == alone.shrunk.kept
    assert folded.pruned.perplexity < 0.97 * alone.pruned.perplexity
    assert 0 < folded.shrunk.folded[0].left < 0.5


def left_alone(given, kept):
    yield from ()
    return None, ()


def test_no_map_can_be_folded_where_blocks_normalise_what_they_add(tmp_path):
    folder = tiny_families.write("gemma3_text", tmp_path / "dense")
    with pytest.raises(BadInput, match="no linear map can be folded in"):
        shrunk(folder, tmp_path / "run", "depth", criterion="reconstruction")


@pytest.mark.parametrize("sparsity", [0.05, 0.95])
def test_none_and_all_of_the_blocks_are_refused(sparsity, tmp_path):
    with pytest.raises(BadInput, match="of 4 blocks"):
        shrunk("tiny-llama", tmp_path, "depth", sparsity)


# ---- heads and channels


def places_of(part, whole, dimension):
    """Which rows or columns of `whole` those of `part` are; random weights tell."""
    part, whole = part.movedim(dimension, 0), whole.movedim(dimension, 0)
    part, whole = part.reshape(len(part), -1), whole.reshape(len(whole), -1)
    same = (part[:, None] == whole[None]).all(dim=-1)
    assert (same.sum(dim=1) == 1).all()
    return same.int().argmax(dim=1).tolist()


@torch.no_grad()
def masked(dense, small):
    """The dense model with zeros for the columns that are no longer there: the oracle, which knows no groups."""
    for block, smaller in zip(families.decoder_blocks(dense), families.decoder_blocks(small), strict=True):
        theirs = {layer.name: layer for layer in families.prunable_layers(smaller, 0)}
        for layer in families.prunable_layers(block, 0):
            other = theirs[layer.name].matrix
            if other.shape[1] != layer.matrix.shape[1]:
                kept = places_of(other, layer.matrix, 1)
                gone = sorted(set(range(layer.in_features)) - set(kept))
                zeroed = layer.matrix.clone()
                zeroed[:, gone] = 0
                layer.write_(zeroed)
    return dense


@pytest.mark.parametrize("family", some_at_once(WITH_GROUPS))
def test_a_narrower_model_is_the_dense_one_with_zeros(family, tmp_path):
    folder = tiny_families.write(family, tmp_path / "dense")
    share = 0.4 if family in CHANNELS_ALONE else 0.5
    record, small = shrunk(folder, tmp_path / "run", "llm-pruner", share, multiple=1)
    torch.testing.assert_close(logits(small), logits(masked(plain(folder), small)), rtol=1e-4, atol=1e-5)
    check_cache(small)
    assert record.sparsity == record.finished.sparsity == pytest.approx(share, abs=0.1)
    assert {one.name for one in record.shrunk.widths} >= {"MLP channels"}
    for one in record.shrunk.widths:  # the least important go, so less is lost than their share
        assert all(0 <= lost <= 1 - one.after / one.before + 1e-6 for lost in one.lost)


@pytest.mark.parametrize("family", some_at_once(WITHOUT))
def test_families_without_groups_are_refused(family, tmp_path):
    folder = tiny_families.write(family, tmp_path / "dense")
    with pytest.raises(BadInput, match="no attention heads or MLP channels"):
        shrunk(folder, tmp_path / "run", "llm-pruner")


@pytest.mark.slow
@pytest.mark.parametrize("importance", ["l1", "l2", "vectorize", "param_first", "param_second", "param_mix"])
def test_each_importance(importance, tmp_path):
    record, small = shrunk("tiny-llama", tmp_path, "llm-pruner", 0.5, importance=importance)
    assert small.config.num_attention_heads == 2 and small.config.num_key_value_heads == 1
    assert small.config.intermediate_size % 8 == 0 and record.finished.sparsity == pytest.approx(
        0.5, abs=0.02
    )
    assert record.status == "finished"


@pytest.mark.slow
def test_gradients_choose_the_groups_that_autograd_says(tmp_path, monkeypatch):
    """param_first of every group by one backward pass through the whole model."""
    found = {}
    chosen = shrink_widths._most_important
    monkeypatch.setattr(
        shrink_widths,
        "_most_important",
        lambda scores, count: chosen(found.setdefault(len(found), scores), count),
    )
    job_texts = {"calibration": {"text": "wiki-sample", "samples": 3, "length": 32}}
    windows = []
    first = shrink_widths.weight_gradients
    monkeypatch.setattr(
        shrink_widths, "weight_gradients", lambda *given: windows.append(given[3]) or first(*given)
    )
    shrunk("tiny-llama", tmp_path, "llm-pruner", 0.5, more=job_texts)
    model = plain(ASSETS / "models" / "tiny-llama")
    model(input_ids=windows[0], labels=windows[0]).loss.backward()
    block = model.model.layers[
        -1
    ].mlp  # gradients come from the last block to the first, heads before channels
    terms = [one.weight * one.weight.grad for one in (block.gate_proj, block.up_proj)]
    wanted = sum(one.abs().sum(dim=1) for one in terms)
    wanted = wanted + (block.down_proj.weight * block.down_proj.weight.grad).abs().sum(dim=0)
    torch.testing.assert_close(found[1], wanted.detach(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("weights", [pytest.param("memory", marks=SLOW), "disk"])
def test_compensation_beats_removal_alone(weights, tmp_path):
    more = {
        "calibration": {"text": "wiki-sample", "samples": 16, "length": 64},
        "evaluation": {"text": "wiki-sample", "samples": 8, "length": 64},
    }
    plainly, _ = shrunk("tiny-llama", tmp_path / "a", "llm-pruner", 0.5, weights, more)
    made_up, small = shrunk("tiny-llama", tmp_path / "b", "llm-pruner", 0.5, weights, more, compensate=True)
    assert made_up.pruned.perplexity < 0.9 * plainly.pruned.perplexity
    assert made_up.shrunk.parameters == plainly.shrunk.parameters
    check_cache(small)
    assert not list((tmp_path / "b").glob("checkpoint?*"))


@pytest.mark.parametrize(
    ("sparsity", "options", "said"),
    [
        (
            0.9,
            {"structures": "channels"},
            "By channels at most 73.4% of the blocks' weights go here, since a few",
        ),
        (0.97, {}, "By heads and channels at most 85.9% .* choose at most 0.859, or remove whole blocks"),
        (0.97, {"widths": "global", "start_block": 0, "end_block": 4, "importance": "l1"}, "at most 85.9%"),
        (0.001, {}, "So little goes that no head and no channel does"),
    ],
)
def test_a_share_that_heads_and_channels_cannot_meet_is_refused(
    sparsity, options, said, tmp_path, monkeypatch
):
    """Less went, in silence; the sentence comes before the dense model is measured where it can."""
    if options.get("widths") != "global":
        monkeypatch.setattr("apt_core.execute.shrink.evaluated", None)
    with pytest.raises(BadInput, match=said):
        shrunk("tiny-llama", tmp_path, "llm-pruner", sparsity, **options)


@pytest.mark.slow
def test_channels_alone(tmp_path):
    record, small = shrunk("tiny-llama", tmp_path, "llm-pruner", 0.3, structures="channels")
    assert small.config.num_attention_heads == 4
    assert [one.name for one in record.shrunk.widths] == ["MLP channels"]
    assert record.finished.sparsity == pytest.approx(0.3, abs=0.02)


@pytest.mark.slow
def test_the_configuration_is_that_of_the_smaller_model(tmp_path):
    shrunk("tiny-llama", tmp_path, "llm-pruner", 0.5)
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    dense = json.loads((ASSETS / "models" / "tiny-llama" / "config.json").read_text())
    changed = {name for name in config if config[name] != dense.get(name)}
    assert changed <= {"num_attention_heads", "num_key_value_heads", "intermediate_size", "head_dim"}
    assert config["head_dim"] == dense["hidden_size"] // dense["num_attention_heads"]


@pytest.mark.parametrize("method", ["depth", "llm-pruner"])
def test_a_run_that_is_closed_leaves_nothing(method, tmp_path):
    job = apt_core.plan("tiny-llama", method, 0.5, device="cpu", **TEXTS)
    steps = apt_core.run(job, tmp_path)
    for event in steps:
        if event.kind == "progress" and event.stage in ("calibrate", "save"):
            break
    steps.close()
    assert not list(tmp_path.glob("checkpoint*"))
