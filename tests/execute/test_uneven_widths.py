"""Blocks of different widths: our loader opens the dense model with zeros, and transformers alone refuses."""

from __future__ import annotations

import json

import pytest
import torch
from recoveries import done, recovery
from test_shrink import CHANNELS_ALONE, SLOW, TEXTS, WITH_GROUPS, check_cache, logits, masked, plain, tokens
from transformers import AutoModelForCausalLM

import apt_core
from apt_core import families
from apt_core.base.errors import BadInput, BadOption
from apt_core.base.paths import ASSETS
from apt_core.events import Stamped
from apt_core.events.records import RunRecord, fold
from apt_core.families import BLOCK_WIDTHS
from apt_core.models.checkpoint import headers
from apt_core.models.checkpoint.packed import pack_folder
from apt_core.models.load.loading import load, load_by_block, load_spread
from apt_core.reports.export import exported
from apt_core.runs.store import Store
from tests.families import tiny_families

TINY = ASSETS / "models" / "tiny-llama"
FIRST = ("phi3",)  # its projections lie in one matrix; the others where there is time


def made(model, folder, method="llm-pruner", sparsity=0.25, more=None, **options):
    """The record of a job; what it made is in folder / checkpoint."""
    job = apt_core.plan(
        str(model), method, sparsity, options, device="cpu", dtype="float32", **TEXTS | (more or {})
    )
    events = [Stamped(seq=n, at=0.0, event=event) for n, event in enumerate(apt_core.run(job, folder))]
    return fold(RunRecord(id="run", job=job), events)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """(record, checkpoint): tiny-llama, ranked over all of its blocks together by the size of weights."""
    folder = tmp_path_factory.mktemp("uneven")
    record = made(TINY, folder, importance="l2", widths="global", start_block=0, end_block=4)
    return record, folder / "checkpoint"


@pytest.mark.parametrize(
    "family", [name if name in FIRST else pytest.param(name, marks=SLOW) for name in WITH_GROUPS]
)
def test_whole_and_narrow_blocks_are_the_dense_ones_with_zeros(family, tmp_path):
    folder = tiny_families.write(family, tmp_path / "dense")
    options = {"widths": "middle", "start_block": 1, "end_block": 2, "multiple": 1, "importance": "l1"}
    share = 0.2 if family in CHANNELS_ALONE else 0.25
    record = made(folder, tmp_path, sparsity=share, **options)
    small, _ = load(tmp_path / "checkpoint", torch.float32, "cpu")
    torch.testing.assert_close(logits(small), logits(masked(plain(folder), small)), rtol=1e-4, atol=1e-5)
    check_cache(small)
    assert record.status == "finished" and record.shrunk.uneven
    assert record.shrunk.parameters == sum(one.numel() for one in small.parameters())
    assert record.finished.sparsity == pytest.approx(share, abs=0.07)
    narrower = [one for one in record.shrunk.widths if one.after < one.before]
    assert "MLP channels" in {one.name for one in narrower}
    for one in narrower:
        assert one.by_block == (one.before, one.after)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        plain(tmp_path / "checkpoint")


def test_ranked_over_blocks_the_lowest_go_wherever_they_are(uneven):
    record, folder = uneven
    dense, (small, _) = plain(TINY), load(folder, torch.float32, "cpu")
    widths = headers.read_config(folder)[BLOCK_WIDTHS]
    assert len({tuple(one.items()) for one in widths}) > 1
    assert record.finished.sparsity == pytest.approx(0.25, abs=0.02)
    for block, own in zip(small.model.layers, widths, strict=True):
        assert block.mlp.gate_proj.out_features == own["intermediate_size"]
        assert block.self_attn.q_proj.out_features == 32 * own["num_attention_heads"]
        assert block.self_attn.k_proj.out_features == 32 * own["num_key_value_heads"]
    torch.testing.assert_close(logits(small), logits(masked(dense, small)), rtol=1e-4, atol=1e-5)
    check_cache(small)


def test_every_way_of_loading_gives_the_same_model(uneven, tmp_path):
    _, folder = uneven
    wanted = logits(load(folder, torch.float32, "cpu")[0])
    spread, _ = load_spread(folder, torch.float32, {"": "cpu"})
    pack_folder(folder, tmp_path / "packed")
    packed, _ = load(tmp_path / "packed", torch.float32, "cpu")
    by_name, _ = apt_core.load_model(str(folder), "cpu", "float32")
    for model in (spread, packed, by_name):
        assert torch.equal(logits(model), wanted)
    model, _, store = load_by_block(folder, torch.float32, "cpu", room_for_all=True)
    with store.all_loaded():
        assert torch.equal(logits(model), wanted)


def test_stored_precision_is_loaded_as_it_is(uneven):
    """Without conversion the files are mapped and transformers places them."""
    _, folder = uneven
    model, _ = load(folder, torch.bfloat16, "cpu")
    assert {one.dtype for one in model.parameters()} == {torch.bfloat16}
    assert type(model).__name__ == "LlamaForCausalLM"
    states = model(input_ids=tokens(), output_hidden_states=True).hidden_states
    assert len(states) == 5


def test_what_is_saved_again_is_loaded_again(uneven, tmp_path):
    _, folder = uneven
    model, tokenizer = load(folder, torch.bfloat16, "cpu")
    model.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    again, _ = load(tmp_path / "again", torch.bfloat16, "cpu")
    assert torch.equal(logits(again), logits(model))


def test_transformers_alone_refuses(uneven):
    _, folder = uneven
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AutoModelForCausalLM.from_pretrained(folder)


def test_it_is_said_in_the_record(uneven):
    record, _ = uneven
    said = " ".join(one.message for one in record.warnings)
    assert "Blocks of this model differ in width" in said and "plain transformers refuses it" in said


# ---- what can be done with it


def test_single_weights_can_go_afterwards(uneven, tmp_path):
    _, folder = uneven
    record = made(folder, tmp_path, "apt", 0.5)
    assert record.status == "finished" and record.finished.sparsity == pytest.approx(0.5, abs=0.01)
    model, _ = load(tmp_path / "checkpoint", torch.float32, "cpu")
    zeros = [float((layer.matrix == 0).float().mean()) for layer in families.all_layers(model.model.layers)]
    assert zeros == pytest.approx([0.5] * len(zeros), abs=0.02)


def test_blocks_can_go_afterwards(tmp_path):
    """What is left is alike, so transformers loads it."""
    made(TINY, tmp_path / "a", widths="middle", start_block=0, end_block=3, importance="l1")
    record = made(tmp_path / "a" / "checkpoint", tmp_path / "b", "depth", 0.25, criterion="last")
    assert not record.shrunk.uneven
    small = plain(tmp_path / "b" / "checkpoint")
    assert small.config.num_hidden_layers == 3
    assert BLOCK_WIDTHS not in headers.read_config(tmp_path / "b" / "checkpoint")


def test_blocks_that_differ_still_say_so_when_one_goes(uneven, tmp_path):
    _, folder = uneven
    record = made(folder, tmp_path, "depth", 0.25, criterion="last")
    assert record.shrunk.uneven
    small, _ = load(tmp_path / "checkpoint", torch.float32, "cpu")
    assert len(small.model.layers) == len(small.config.apt_block_widths) == 3


def test_heads_and_channels_cannot_go_twice(uneven, tmp_path):
    _, folder = uneven
    with pytest.raises(BadInput, match="already differ in width"):
        made(folder, tmp_path)


@pytest.mark.slow
def test_perplexity_is_measured(uneven):
    record, folder = uneven
    found = apt_core.evaluate(str(folder), "wiki-sample", samples=2, length=32)
    assert found.perplexity == pytest.approx(record.pruned.perplexity, rel=0.02)


@pytest.mark.slow
def test_compensation_works_in_blocks_of_different_widths(tmp_path):
    more = {
        "calibration": {"text": "wiki-sample", "samples": 16, "length": 64},
        "evaluation": {"text": "wiki-sample", "samples": 8, "length": 64},
    }
    options = {"widths": "middle", "start_block": 1, "end_block": 3}
    plainly = made(TINY, tmp_path / "a", sparsity=0.25, more=more, **options)
    made_up = made(TINY, tmp_path / "b", sparsity=0.25, more=more, compensate=True, **options)
    assert made_up.pruned.perplexity < plainly.pruned.perplexity
    assert made_up.shrunk.parameters == plainly.shrunk.parameters


@pytest.mark.parametrize(
    "method", ["lora", pytest.param("spp", marks=SLOW), pytest.param("partial", marks=SLOW)]
)
def test_it_is_recovered_by_training(method, tmp_path, monkeypatch):
    monkeypatch.setenv("APT_DATA", str(tmp_path))
    store = Store(tmp_path)
    options = {"importance": "l1", "widths": "middle", "start_block": 1, "end_block": 3}
    first = done(store, apt_core.plan("tiny-llama", "llm-pruner", 0.25, options, **TEXTS))
    record = done(store, recovery(first.id, method, steps=4))
    assert record.status == "finished", record.failure
    widths = [headers.read_config(store.checkpoint(one.id))[BLOCK_WIDTHS] for one in (first, record)]
    assert widths[0] == widths[1]
    load(store.checkpoint(record.id), torch.float32, "cpu")
    card = exported(store, record.id).card("FOLDER")
    assert "Only APT Studio loads" in card and "AutoModelForCausalLM" not in card


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start_block": 1}, "uniform widths are those of every block"),
        ({"widths": "wide"}, "widths"),
        ({"widths": "global", "end_block": -2}, "end_block"),
    ],
)
def test_options_that_say_nothing_together_are_refused(options, sentence):
    with pytest.raises(BadOption, match=sentence):
        apt_core.plan("tiny-llama", "llm-pruner", 0.25, options)


@pytest.mark.parametrize(
    ("sparsity", "options", "sentence"),
    [
        (0.5, {"start_block": 1, "end_block": 2}, "choose at most 0.237"),
        (0.2, {"start_block": 3, "end_block": 3}, "none of a model with 4"),
        (0.2, {"start_block": 1, "end_block": 9}, "none of a model with 4"),
        (0.001, {"multiple": 64}, "So little goes"),
    ],
)
@pytest.mark.parametrize("widths", ["middle", "global"])
def test_shares_and_ranges_that_cannot_be_are_refused(widths, sparsity, options, sentence, tmp_path):
    with pytest.raises(BadOption, match=sentence):
        made(TINY, tmp_path, sparsity=sparsity, widths=widths, importance="l1", **options)
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda widths: widths[:-1], "has no entry for each of 4"),
        (lambda widths: {"0": widths[0]}, "has no entry for each of 4"),
        (lambda widths: [*widths[:-1], 7], "of block 3 says something else than widths"),
        (lambda widths: [{**widths[0], "_attn_implementation": "someone/kernel"}, *widths[1:]], "something else"),
        (lambda widths: [{**widths[0], "intermediate_size": 10**9}, *widths[1:]], "intermediate_size of block 0"),
        (lambda widths: [{**widths[0], "num_attention_heads": 0}, *widths[1:]], "num_attention_heads of block 0"),
        (lambda widths: [{**widths[0], "num_attention_heads": True}, *widths[1:]], "num_attention_heads of"),
        (lambda widths: [{**widths[0], "intermediate_size": 8}, *widths[1:]], "intermediate_size is 8, but .* 368"),
    ],
)  # fmt: skip
def test_widths_that_no_file_has_are_refused(uneven, tmp_path, change, why):
    _, folder = uneven
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config[BLOCK_WIDTHS] = change(config[BLOCK_WIDTHS])
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=why):
        load(tmp_path, torch.float32, "cpu")
