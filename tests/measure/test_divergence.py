"""KL and agreement against transformers' own logits and a float64 softmax; chunks, stores and caches change nothing."""

from __future__ import annotations

import pytest
import torch

import apt_core
from apt_core.base import limits
from apt_core.base.paths import ASSETS
from apt_core.events import Diverged, Evaluated
from apt_core.measure.divergence import diverged, fill_states, window_divergences
from apt_core.measure.interval import mean_interval
from apt_core.models.load.loading import load, load_by_block
from apt_core.models.load.weight_store import MemoryStore
from apt_core.passes.evaluation import LastStates, window_losses

TINY = ASSETS / "models" / "tiny-llama"


@pytest.fixture(autouse=True)
def own_cache(fresh_cache):
    return fresh_cache


def windows(count=3, length=48):
    return torch.randint(0, 250, (count, length), generator=torch.Generator().manual_seed(7))


def halved(model):
    for name, weight in model.named_parameters():
        if "proj" in name:
            weight.data[:, ::2] = 0
    return model


def by_the_book(dense, pruned, tokens):
    """Per window: mean over positions 1 .. length - 1 of sum p (log p - log q), and of equal argmax."""
    found = []
    for window in tokens:
        p, q = (model(window[None]).logits[0, :-1].double().log_softmax(-1) for model in (dense, pruned))
        kl = (p.exp() * (p - q)).sum(-1).mean()
        found.append((float(kl), float((p.argmax(-1) == q.argmax(-1)).double().mean())))
    return found


def states_of(model, store, tokens):
    last = LastStates(len(tokens))
    assert list(fill_states(model, tokens, store, last))[-1] == len(store.blocks) - 1
    return last.states


@pytest.mark.parametrize("rows", [None, 5])  # all logits at once, or a few positions at a time
@torch.no_grad()
def test_it_is_the_textbook_kl_of_transformers_logits(rows, monkeypatch):
    if rows:
        monkeypatch.setattr("apt_core.passes.embedding_and_head.rows_of_logits", lambda vocab: rows)
    dense, pruned = load(TINY, torch.float32, "cpu")[0], halved(load(TINY, torch.float32, "cpu")[0])
    tokens = windows()
    states = [states_of(model, MemoryStore(model), tokens) for model in (dense, pruned)]
    found = list(window_divergences(pruned, MemoryStore(pruned), tokens, *states))
    for ours, (kl, agreement) in zip(found, by_the_book(dense, pruned, tokens), strict=True):
        assert ours.kl == pytest.approx(kl, rel=1e-4) and ours.kl > 0.1
        assert ours.agreement == pytest.approx(agreement)


@torch.no_grad()
def test_a_model_agrees_with_itself():
    model = load(TINY, torch.float32, "cpu")[0]
    states = states_of(model, MemoryStore(model), windows())
    for one in window_divergences(model, MemoryStore(model), windows(), states, states):
        assert one == (0.0, 1.0)


def test_an_evaluation_keeps_the_same_states_and_blocks_from_disk_too():
    tokens = windows()
    model = load(TINY, torch.float32, "cpu")[0]
    last = LastStates(2)
    list(window_losses(model, tokens, None, last))
    assert torch.equal(last.states, states_of(model, MemoryStore(model), tokens[:2]))
    by_block, _, store = load_by_block(TINY, torch.float32, "cpu")
    assert torch.allclose(states_of(by_block, store, tokens[:2]), last.states, atol=1e-5)


def test_intervals_are_of_window_means_and_stay_in_range():
    pairs = [(0.1, 0.99), (0.5, 1.0), (0.02, 1.0)]
    from apt_core.measure.divergence import WindowDivergence

    event = diverged([WindowDivergence(*pair) for pair in pairs], "t", 9)
    low, high = mean_interval([kl for kl, _ in pairs])
    assert event.kl == pytest.approx(0.62 / 3) and event.tokens == 24
    assert low < 0 and event.kl_low == 0.0 and event.kl_high == high
    assert event.agreement_high == 1.0 and event.agreement_low < event.agreement
    alone = diverged([WindowDivergence(0.1, 0.9)], "t", 9)
    assert alone.kl_low is alone.kl_high is alone.agreement_low is None


def pruned_run(tmp_path, **fields):
    settings = {
        "calibration": {"text": "wiki-sample", "samples": 2, "length": 32},
        "evaluation": {"text": "wiki-sample", "samples": 3, "length": 64},
        "device": "cpu", "dtype": "float32",
    } | fields  # fmt: skip
    return apt_core.prune(str(TINY), "magnitude", "0.5", out=tmp_path / "checkpoint", **settings)


@torch.no_grad()
def test_a_run_says_how_far_its_model_is_from_the_dense_one(tmp_path):
    record = pruned_run(tmp_path / "a")
    (found,) = record.diverged
    assert isinstance(found, Diverged) and found.text == "wiki-sample" and found.windows == 3
    dense, tokenizer = load(TINY, torch.float32, "cpu")
    pruned = load(tmp_path / "a" / "checkpoint", torch.float32, "cpu")[0]
    from apt_core.texts.sources import read
    from apt_core.texts.windows import token_windows

    tokens = token_windows(tokenizer, read("wiki-sample", "evaluation", shared=True)[0], 64, 3)
    expected = by_the_book(dense, pruned, tokens)
    assert found.kl == pytest.approx(sum(kl for kl, _ in expected) / 3, rel=1e-2)
    assert found.agreement == pytest.approx(sum(same for _, same in expected) / 3, abs=0.01)
    assert found.kl_low <= found.kl <= found.kl_high


def test_a_reused_dense_perplexity_and_blocks_on_disk_give_the_same(tmp_path):
    first = pruned_run(tmp_path / "a")
    second = pruned_run(tmp_path / "b")
    from_disk = pruned_run(tmp_path / "c", weights="disk")
    assert not first.dense.reused and second.dense.reused
    assert first.diverged == second.diverged
    assert from_disk.diverged[0].kl == pytest.approx(first.diverged[0].kl, rel=1e-3)


def test_windows_that_are_too_long_to_keep_are_not_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "COMPARED_TOKENS", 63)
    record = pruned_run(tmp_path / "a")
    assert record.diverged == () and record.status == "finished"
    assert isinstance(record.pruned, Evaluated)


def test_nothing_removed_agrees_wholly(tmp_path):
    record = apt_core.prune(
        str(TINY), "magnitude", "0", out=tmp_path / "checkpoint", device="cpu",
        calibration={"text": "wiki-sample", "samples": 2, "length": 32},
        evaluation={"text": "wiki-sample", "samples": 2, "length": 64},
    )  # fmt: skip
    assert (record.diverged[0].kl, record.diverged[0].agreement) == (0.0, 1.0)
