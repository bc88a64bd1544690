"""The whole way on the bundled tiny model: events in order, exact patterns, a checkpoint that loads again."""

from __future__ import annotations

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM

import apt_core
from apt_core import families
from apt_core.base.clock import Clock
from apt_core.base.errors import BadInput, BadPattern, NotPositiveDefinite
from apt_core.base.paths import ASSETS
from apt_core.base.policy import PRIVATE
from apt_core.events.records import RunRecord, fold, summary
from apt_core.execute import prune_blocks as pruning
from apt_core.jobs import ModelRef
from apt_core.maths.hessian import LayerStats
from apt_core.maths.pattern import is_exact
from apt_core.measure.perplexity import perplexity_events
from apt_core.methods import METHODS, make_method
from apt_core.models.load.weight_store import MemoryStore
from apt_core.passes.entering import Entering
from apt_core.passes.halting import Halting
from apt_core.passes.runner import Runner

TINY = "tiny-random-llama"


def plan(method="apt", pattern="2:4", **more):
    more = {
        "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
        "evaluation": {"text": "wiki-sample", "samples": 3, "length": 64},
    } | more
    return apt_core.plan(TINY, method, pattern, **more)


@pytest.fixture
def tiny():
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "models" / TINY, dtype=torch.float32)
    return model.eval().requires_grad_(False)


def drained(steps):
    """What a generator returns in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def walked(model, windows, walk=Halting, **more):
    """(the walk, its steps through all blocks)"""
    store = MemoryStore(model)
    entering = Entering.of(model, store.blocks, windows, batch=2)
    walking = walk(entering.states, 2, families.all_layers(store.blocks), Clock(), **more)
    return walking, Runner(store, entering).run(walking)


def kinds(events):
    return [event.kind for event in events if event.kind != "progress"]


PATTERNS = ("0.5", "2:4")


def every_method():
    """By default APT in both patterns and the others in one, in turn; families/ has the other pairs."""
    for at, method in enumerate(METHODS):
        for pattern in PATTERNS:
            by_default = method == "apt" or pattern == PATTERNS[at % 2]
            yield pytest.param(method, pattern, marks=[] if by_default else [pytest.mark.slow])


@pytest.mark.parametrize(("method", "pattern"), every_method())
def test_a_run_says_everything_and_leaves_a_checkpoint_that_loads(method, pattern, tmp_path, tiny):
    enough = {"text": "wiki-sample", "samples": 6, "length": 64}  # two tokens for each of 176 inputs
    recipe = plan(method, pattern, calibration=enough)
    events = list(apt_core.run(recipe, tmp_path))
    layers = [event for event in events if event.kind == "layer_pruned"]
    assert kinds(events) == [
        "model_loaded", "evaluated", "measured", "sized",
        *["allocated"] * recipe.method.allocation.varies(recipe.pattern),
        *["layer_pruned"] * 14, "evaluated", "diverged", "answers", "measured", "sized", "measured", "measured",
        "finished",
    ]  # fmt: skip
    assert [(event.block, event.layer) for event in layers][:7] == [
        (0, f"self_attn.{name}_proj") for name in "qkvo"
    ] + [(0, f"mlp.{name}_proj") for name in ("gate", "up", "down")]
    assert all(event.pattern_valid for event in layers)
    if not recipe.method.allocation.varies(recipe.pattern):
        assert all(event.sparsity == 0.5 for event in layers)
    assert all(0 < event.relative_error < 1 for event in layers)
    finished = events[-1]
    assert finished.sparsity == 0.5
    assert {"load", "dense_eval", "prune", "pruned_eval", "total"} <= set(finished.seconds)

    again = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint", dtype=torch.float32)
    assert again.lm_head.weight.data_ptr() == again.model.embed_tokens.weight.data_ptr()  # still tied
    pruned_layers = families.all_layers(families.decoder_blocks(again))
    if not recipe.method.allocation.varies(recipe.pattern):
        assert all(is_exact(layer.module.weight, recipe.pattern) for layer in pruned_layers)
    zeros = sum(int((layer.module.weight == 0).sum()) for layer in pruned_layers)
    assert zeros == sum(layer.module.weight.numel() for layer in pruned_layers) // 2
    for (name, dense), (_, pruned) in zip(tiny.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(dense, pruned) == ("_proj" not in name), name


def test_the_perplexity_reported_is_the_checkpoints(tmp_path):
    events = list(apt_core.run(plan(), tmp_path))
    reported = next(event for event in events if event.kind == "evaluated" and event.subject == "pruned")
    measured = apt_core.evaluate(str(tmp_path / "checkpoint"), "wiki-sample", samples=3, length=64)
    assert measured.perplexity == pytest.approx(reported.perplexity, rel=1e-5)
    assert measured.protocol == reported.protocol == "joined-v1"
    assert reported.tokens == 3 * 63


def test_layer_errors_are_those_of_the_inputs_that_the_pruned_model_sees(tmp_path, tiny):
    """Recomputed from outside: prune o_proj's predecessors, then look at what reaches o_proj."""
    recipe = plan("magnitude", "0.5", dtype="float32")
    events = [event for event in apt_core.run(recipe, tmp_path) if event.kind == "layer_pruned"]
    pruned = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint", dtype=torch.float32)
    from apt_core.models.load.loading import load
    from apt_core.texts.sources import load_text
    from apt_core.texts.windows import token_windows

    _, tokenizer = load(ASSETS / "models" / TINY, torch.float32, "cpu")
    windows = token_windows(
        tokenizer, load_text("wiki-sample", "calibration", lambda *_: None, policy=PRIVATE), 64, 4
    )
    seen = []
    layer = pruned.model.layers[1].mlp.down_proj
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].reshape(-1, layer.in_features)))
    with torch.no_grad():
        pruned(windows)
    dense = tiny.model.layers[1].mlp.down_proj.weight
    inputs = torch.cat(seen)
    expected = ((inputs @ (layer.weight - dense).T).square().sum() / (inputs @ dense.T).square().sum()).item()
    reported = next(e for e in events if (e.block, e.layer) == (1, "mlp.down_proj"))
    assert reported.relative_error == pytest.approx(expected, rel=1e-3)


def test_the_paused_pass_gives_what_the_model_gives(tiny):
    windows = torch.randint(0, 200, (5, 32))
    hidden, steps = walked(tiny, windows)
    seen = {}
    for arrival in steps:
        if arrival is not None:
            seen[(arrival.layer.block, arrival.layer.name)] = arrival.stats
    with torch.no_grad():
        expected = tiny.model(windows).last_hidden_state
        final = tiny.model.norm(hidden.states)
    assert torch.allclose(final, expected, atol=1e-5)
    assert seen[(0, "self_attn.q_proj")] is seen[(0, "self_attn.v_proj")]  # one input, one Gram matrix
    assert seen[(0, "mlp.gate_proj")] is seen[(0, "mlp.up_proj")]
    assert seen[(0, "self_attn.q_proj")] is not seen[(0, "self_attn.o_proj")]
    assert all(stats.tokens == 5 * 32 for stats in seen.values())


def test_the_dense_stream_stays_dense_and_its_drift_is_measured(tiny):
    """Halve one projection on the way: what follows must report the gap, and the stream must not feel it."""
    windows = torch.randint(0, 200, (5, 32))
    with torch.no_grad():
        expected = tiny.model(windows).last_hidden_state
    hidden, steps = walked(tiny, windows, compare=True)
    drifts = {}
    for arrival in steps:
        if arrival is not None:
            where = (arrival.layer.block, arrival.layer.name)
            drifts[where] = arrival.stats
            if where == (0, "self_attn.v_proj"):
                arrival.layer.module.weight.data *= 0.5
    assert drifts[(0, "self_attn.q_proj")].drift.abs().max() == 0
    halved = drifts[(0, "self_attn.o_proj")]  # attention is linear in v: the dense input is twice the input
    assert torch.allclose(halved.drift, halved.gram, rtol=1e-3, atol=1e-4)
    assert drifts[(0, "mlp.down_proj")].drift.abs().max() > 0
    with torch.no_grad():
        assert torch.allclose(tiny.model.norm(hidden.dense), expected, atol=1e-5)
        assert not torch.allclose(tiny.model.norm(hidden.states), expected, atol=1e-3)


def test_a_pass_that_is_left_early_leaves_no_hook_behind(tiny):
    _, steps = walked(tiny, torch.randint(0, 200, (4, 16)))
    next(steps)
    steps.close()
    assert not any(module._forward_pre_hooks for module in tiny.modules())
    with torch.no_grad():
        tiny(torch.randint(0, 200, (1, 8)))  # still an ordinary model


def test_closing_the_run_stops_it_and_leaves_nothing_half_written(tmp_path):
    run = apt_core.run(plan(), tmp_path)
    for event in run:
        if event.kind == "layer_pruned":
            break
    run.close()
    assert not list(tmp_path.iterdir())


def test_the_same_recipe_gives_the_same_weights(tmp_path):
    for name in ("a", "b"):
        list(apt_core.run(plan(), tmp_path / name))
    first, second = (next((tmp_path / name / "checkpoint").glob("*.safetensors")) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_the_dense_weights_are_only_read(tmp_path):
    folder = ASSETS / "models" / TINY
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    list(apt_core.run(plan(), tmp_path))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_pattern_that_does_not_fit_names_the_layer(tmp_path):
    with pytest.raises(BadPattern, match=r"q_proj \(block 0\) has 64 inputs"):
        list(apt_core.run(plan(pattern="1:3"), tmp_path))


def test_a_layer_that_cannot_be_factorised_is_retried_and_said():
    indefinite = torch.diag(torch.tensor([1.0] * 31 + [-0.05]))
    steps = pruning._solve(
        make_method("apt"), torch.randn(4, 32), LayerStats(indefinite, 10), plan().pattern, "block 0 q_proj"
    )
    warned = next(steps)
    assert warned.kind == "warned"
    assert "block 0 q_proj" in warned.message
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value.dampening == pytest.approx(0.1)


def test_a_hopeless_layer_fails_with_one_sentence():
    hopeless = torch.diag(torch.tensor([1.0] * 31 + [-50.0]))
    steps = pruning._solve(
        make_method("apt"), torch.randn(4, 32), LayerStats(hopeless, 10), plan().pattern, "block 0 q_proj"
    )
    with pytest.raises(NotPositiveDefinite, match="more calibration samples"):
        list(steps)


def test_uniform_predictions_have_the_vocabularys_perplexity(tiny):
    tiny.lm_head.weight.data.zero_()
    steps = perplexity_events(tiny, torch.randint(0, 200, (2, 16)), "dense", "x")
    assert drained(steps).perplexity == pytest.approx(tiny.config.vocab_size, rel=1e-4)


@pytest.mark.parametrize(("length", "logits_bytes"), [(20, 64_000_000), (34, 1)], ids=["whole", "in parts"])
def test_perplexity_is_the_definition(tiny, monkeypatch, length, logits_bytes):
    """In parts: 16 positions at a time, the least there is, and one left over."""
    monkeypatch.setattr("apt_core.base.limits.LOGITS_BYTES", logits_bytes)
    windows = torch.randint(0, 200, (3, length))
    steps = perplexity_events(tiny, windows, "dense", "x")
    measured = drained(steps)
    with torch.no_grad():
        mean = sum(float(tiny(window[None], labels=window[None]).loss) for window in windows) / 3
    assert measured.perplexity == pytest.approx(math.exp(mean), rel=1e-5)


def test_a_short_text_uses_what_there_is_and_says_so(tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("A short text about nothing in particular. " * 20)
    more = {"calibration": {"text": str(text), "samples": 50, "length": 64}}
    events = list(apt_core.run(plan(**more), tmp_path / "run"))
    assert any(event.kind == "warned" and "calibration text gives" in event.message for event in events)
    assert events[-1].kind == "finished"


def test_the_seed_draws_the_calibration_windows(tmp_path):
    def weights(seed: int, name: str) -> bytes:
        list(apt_core.run(plan(seed=seed), tmp_path / name))
        return next((tmp_path / name / "checkpoint").glob("*.safetensors")).read_bytes()

    assert weights(3, "a") == weights(3, "b") != weights(0, "c")


def test_a_text_that_is_scored_on_itself_is_said(tmp_path):
    text = tmp_path / "own.txt"
    text.write_text("Some words of my own, again and again. " * 60)
    same = {"text": str(text), "samples": 2, "length": 64}
    warned = [e.message for e in apt_core.run(plan(calibration=same, evaluation=same)) if e.kind == "warned"]
    assert any("same text" in message for message in warned)


def test_a_pruned_model_never_replaces_the_one_it_came_from(tmp_path):
    list(apt_core.run(plan(), tmp_path))
    before = next((tmp_path / "checkpoint").glob("*.safetensors")).read_bytes()
    again = plan().model_copy(update={"model": ModelRef(id=str(tmp_path / "checkpoint"))})
    with pytest.raises(BadInput, match="replace the dense one"):
        list(apt_core.run(again, tmp_path))
    assert next((tmp_path / "checkpoint").glob("*.safetensors")).read_bytes() == before


def test_prune_returns_the_record_and_the_summary_is_json(tmp_path):
    seen = []
    record = apt_core.prune(
        TINY, "sparsegpt", 0.5, out=tmp_path / "pruned", on_event=seen.append,
        calibration={"text": "wiki-sample", "samples": 2, "length": 32},
        evaluation={"text": "wiki-sample", "samples": 2, "length": 32},
    )  # fmt: skip
    assert record.status == "finished"
    assert len(record.layers) == 14
    assert record.ratio == pytest.approx(record.pruned.perplexity / record.dense.perplexity)
    data = json.loads(json.dumps(summary(record, policy=PRIVATE)))
    for key in ("run", "model", "method", "pattern", "options", "seed", "sparsity", "perplexity", "seconds",
                "peak_rss_bytes", "layers", "checkpoint", "versions"):  # fmt: skip
        assert data[key] is not None, key
    assert len(seen) > 14


def test_folding_a_log_in_pieces_gives_the_same_record(tmp_path):
    from apt_core.events import Stamped

    recipe = plan()
    log = [
        Stamped(seq=seq, at=float(seq), event=event)
        for seq, event in enumerate(apt_core.run(recipe, tmp_path))
    ]
    whole = fold(RunRecord(id="x", job=recipe), log)
    pieces = RunRecord(id="x", job=recipe)
    for start in range(0, len(log), 3):
        pieces = fold(pieces, log[max(0, start - 2) : start + 3])  # overlaps are ignored
    assert pieces == whole
    assert type(whole).model_validate_json(whole.model_dump_json()) == whole
